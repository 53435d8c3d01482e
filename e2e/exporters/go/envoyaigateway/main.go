// Prints what Envoy AI Gateway's own metrics code exports after ten streamed answers and one that failed.
//
// The gateway keeps that code internal: this module bears a name beneath its own, so that Go lets it be imported.
package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"

	"github.com/envoyproxy/ai-gateway/internal/filterapi"
	"github.com/envoyproxy/ai-gateway/internal/metrics"
)

// As the gateway's own command makes its reader, and its factory of metrics for chats.
func chats(ctx context.Context, registry *prometheus.Registry) metrics.Factory {
	reader, err := otelprom.New(otelprom.WithRegisterer(registry))
	if err != nil {
		panic(err)
	}
	meter, _, err := metrics.NewMeterFromEnv(ctx, io.Discard, reader)
	if err != nil {
		panic(err)
	}
	return metrics.NewMetricsFactory(meter, map[string]string{"x-tenant": "tenant"}, metrics.GenAIOperationChat)
}

func main() {
	ctx, registry, headers := context.Background(), prometheus.NewRegistry(), map[string]string{"x-tenant": "tenant-a"}
	factory := chats(ctx, registry)
	for n := 1; n <= 11; n++ {
		request := factory.NewMetrics()
		request.StartRequest(headers)
		request.SetOriginalModel("chat")
		request.SetRequestModel("qwen3-8b")
		request.SetResponseModel("qwen3-8b")
		request.SetBackend(&filterapi.Backend{Name: "pool", Schema: filterapi.VersionedAPISchema{Name: filterapi.APISchemaOpenAI}})
		if n == 11 {
			request.RecordRequestCompletion(ctx, false, headers)
			continue
		}
		request.RecordTokenLatency(ctx, 1, false, headers)
		time.Sleep(time.Duration(n) * 5 * time.Millisecond)
		request.RecordTokenLatency(ctx, 50, true, headers)
		usage := metrics.TokenUsage{}
		usage.SetInputTokens(100)
		usage.SetOutputTokens(50)
		request.RecordTokenUsage(ctx, usage, headers)
		request.RecordRequestCompletion(ctx, true, headers)
	}
	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(os.Stdout, family); err != nil {
			panic(err)
		}
	}
}
