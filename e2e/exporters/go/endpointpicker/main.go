// Prints what the endpoint picker's own metrics code exports after ten requests for each of two models.
package main

import (
	"context"
	"os"
	"time"

	"github.com/prometheus/common/expfmt"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	picker "sigs.k8s.io/gateway-api-inference-extension/pkg/epp/metrics"
)

func main() {
	picker.Register()
	picker.RecordInferenceExtensionInfo("0000000", "v1.5.0")
	ctx, began := context.Background(), time.Unix(1_700_000_000, 0)
	for _, model := range []string{"chat", "code \"x\"\n"} {
		for n := 1; n <= 10; n++ {
			ended := began.Add(time.Duration(n) * 400 * time.Millisecond)
			picker.RecordRequestCounter(model, model, 0)
			picker.RecordRequestLatencies(ctx, model, model, began, ended)
			picker.RecordRequestTTFT(ctx, model, model, float64(n)*0.06)
			picker.RecordRequestTPOT(ctx, model, model, float64(n)*0.01)
			picker.RecordNormalizedTimePerOutputToken(ctx, model, model, began, ended, 50)
			picker.RecordInputTokens(model, model, 100)
			picker.RecordOutputTokens(model, model, 50)
			picker.RecordFlowControlRequestQueueDuration("tenant-a", "0", "Dispatched", "pool", model, model, time.Duration(n)*20*time.Millisecond)
		}
		picker.RecordRequestErrCounter(model, model, "ServiceUnavailable")
		picker.IncRunningRequests(model)
	}
	families, err := metrics.Registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(os.Stdout, family); err != nil {
			panic(err)
		}
	}
}
