// Command kpa replays recorded series on Knative's own pod autoscaler: its collector of metrics (one-second buckets),
// its scaler (stable and panic window, rates, delay) and the defaults of its configuration, on a clock that jumps
// (testing/synctest). It reads series as JSON, one a line, from standard input, and writes for each a line with the
// replicas wanted at every tick, null where the scaler had no data. The last line is PASS.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	autoscalingv1alpha1 "knative.dev/serving/pkg/apis/autoscaling/v1alpha1"
	"knative.dev/serving/pkg/autoscaler/config"
	"knative.dev/serving/pkg/autoscaler/metrics"
	"knative.dev/serving/pkg/autoscaler/scaling"
	kparesources "knative.dev/serving/pkg/reconciler/autoscaling/kpa/resources"
	"knative.dev/serving/pkg/reconciler/autoscaling/resources"
)

const (
	rival = "knative.dev/serving"
	// The source ticks every two seconds; its constant is not exported.
	secondsPerTick = 2
)

// series is one revision's life: what its user annotated, the requests in flight at each second from 0 on (null where
// nobody reported any), and the pods ready at each tick, the first after two seconds.
type series struct {
	Name        string            `json:"name"`
	Annotations map[string]string `json:"annotations"`
	InFlight    []*float64        `json:"inFlight"`
	Ready       []int             `json:"ready"`
}

type answer struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Replicas []*int32 `json:"replicas"`
}

// pods counts what is ready; it is what the source asks its endpoints for.
type pods struct{ ready int }

func (p *pods) ReadyCount() (int, error)    { return p.ready, nil }
func (p *pods) NotReadyCount() (int, error) { return 0, nil }

func play(t *testing.T, recorded series) []*int32 {
	defaults, err := config.NewConfigFromMap(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := types.NamespacedName{Namespace: "recorded", Name: "target"}
	autoscaler := &autoscalingv1alpha1.PodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Annotations: recorded.Annotations},
	}
	logger := zap.NewNop().Sugar()
	// Without a scraper the collector holds what is recorded from outside, as the activator's reports are.
	noScraper := func(*autoscalingv1alpha1.Metric, *zap.SugaredLogger) (metrics.StatsScraper, error) { return nil, nil }
	collector := metrics.NewMetricCollector(noScraper, logger)
	if err := collector.CreateOrUpdate(resources.MakeMetric(autoscaler, "target-private", defaults)); err != nil {
		t.Fatal(err)
	}
	decider := kparesources.MakeDecider(autoscaler, defaults)
	fleet := &pods{}
	var scaler scaling.UniScaler
	wanted := make([]*int32, 0, len(recorded.Ready))
	for second, inFlight := range recorded.InFlight {
		if second > 0 {
			time.Sleep(time.Second)
		}
		if inFlight != nil {
			collector.Record(key, time.Now(), metrics.Stat{PodName: "all", AverageConcurrentRequests: *inFlight})
		}
		if second == 0 || second%secondsPerTick != 0 || len(wanted) == len(recorded.Ready) {
			continue
		}
		fleet.ready = recorded.Ready[len(wanted)]
		if scaler == nil {
			scaler = scaling.New(
				*attribute.EmptySet(), noop.NewMeterProvider(), key.Namespace, key.Name, collector, fleet, &decider.Spec,
			)
		}
		result := scaler.Scale(logger, time.Now())
		if result.ScaleValid {
			wanted = append(wanted, &result.DesiredPodCount)
		} else {
			wanted = append(wanted, nil)
		}
	}
	collector.Delete(key.Namespace, key.Name)
	return wanted
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return dependency.Version
		}
	}
	return "unknown"
}

func replay(t *testing.T) {
	answers := json.NewEncoder(os.Stdout)
	lines := json.NewDecoder(os.Stdin)
	for {
		recorded := series{}
		if err := lines.Decode(&recorded); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(fmt.Errorf("reading series: %w", err))
		}
		found := answer{Name: recorded.Name, Version: rival + " " + version(rival)}
		synctest.Test(t, func(t *testing.T) { found.Replicas = play(t, recorded) })
		if err := answers.Encode(found); err != nil {
			t.Fatal(err)
		}
	}
}

// The clock that jumps exists within a test alone, hence a program that is one.
func main() {
	all := func(string, string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: "replay", F: replay}}, nil, nil)
}
