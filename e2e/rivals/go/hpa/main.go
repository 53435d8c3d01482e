// Command hpa replays recorded series on Kubernetes' own horizontal autoscaler: the whole controller of
// k8s.io/kubernetes/pkg/controller/podautoscaler, with its queue, its informers and the API's defaults, on a clock that
// jumps (testing/synctest). It reads series as JSON, one a line, from standard input, and writes for each a line with
// the replicas that the target was left with after every reconciliation. The last line is PASS.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	controllerconfig "k8s.io/kube-controller-manager/config/v1alpha1"
	apidefaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	flagdefaults "k8s.io/kubernetes/pkg/controller/podautoscaler/config/v1alpha1"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

const (
	rival     = "k8s.io/kubernetes"
	namespace = "recorded"
	name      = "target"
	selector  = "app=target"
)

// series is one autoscaler's life. Spec is as a user writes it; flags are the controller manager's, where not default.
type series struct {
	Name  string                                    `json:"name"`
	Spec  autoscalingv2.HorizontalPodAutoscalerSpec `json:"spec"`
	Flags struct {
		Tolerance *float64 `json:"tolerance"`
	} `json:"flags"`
	Steps []step `json:"steps"`
}

// step is what one reconciliation finds: [replicas asked for, replicas that exist, pods ready, a reading per metric].
type step struct {
	spec, status int32
	ready        int
	readings     []json.RawMessage
}

func (s *step) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&s.spec, &s.status, &s.ready, &s.readings})
}

// perPod is a reading of a metric with a value a pod: [values of running pods, running without a value, pending].
type perPod struct {
	values           []int64
	missing, pending int
}

func (p *perPod) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&p.values, &p.missing, &p.pending})
}

type answer struct {
	Name     string  `json:"name"`
	Version  string  `json:"version"`
	Replicas []int32 `json:"replicas"`
}

// world is what the controller's clients show it: the target's scale, its pods and its metrics.
type world struct {
	hpa      *autoscalingv2.HorizontalPodAutoscaler
	now      step
	replicas int32
	reads    int
	pods     cache.Indexer
}

func (w *world) enter(now step) error {
	w.now, w.replicas, w.reads = now, now.spec, 0
	running, pending, request := int(now.status), 0, int64(0)
	for i, spec := range w.hpa.Spec.Metrics {
		if spec.Type == autoscalingv2.ExternalMetricSourceType {
			continue
		}
		reading := perPod{}
		if err := json.Unmarshal(now.readings[i], &reading); err != nil {
			return err
		}
		running, pending = len(reading.values)+reading.missing, reading.pending
		if spec.Type == autoscalingv2.ResourceMetricSourceType {
			request = cpuRequest
		}
	}
	pods := make([]any, 0, running+pending)
	for i := range running {
		pods = append(pods, newPod(i, corev1.PodRunning, i < now.ready, request))
	}
	for i := range pending {
		pods = append(pods, newPod(running+i, corev1.PodPending, false, request))
	}
	return w.pods.Replace(pods, "")
}

// cpuRequest is what each pod requests, thousandths of a core; the series' values are relative to it.
const cpuRequest = 2000

func podName(i int) string { return "pod-" + strconv.Itoa(i) }

func newPod(i int, phase corev1.PodPhase, ready bool, request int64) *corev1.Pod {
	// Long enough ago that no start-up rule for CPU samples holds any more.
	started := metav1.NewTime(time.Now().Add(-24 * time.Hour))
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: podName(i), Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}},
		Status: corev1.PodStatus{
			Phase:     phase,
			StartTime: &started,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.NewTime(started.Add(time.Minute))},
			},
		},
	}
	if request > 0 {
		pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
			corev1.ResourceCPU: *resource.NewMilliQuantity(request, resource.DecimalSI),
		}
	}
	return pod
}

var errNoAnswer = errors.New("the metric has no value")

// reading finds what the series holds for a metric of the given type and name.
func (w *world) reading(kind autoscalingv2.MetricSourceType, metric string) json.RawMessage {
	for i, spec := range w.hpa.Spec.Metrics {
		if spec.Type == kind && (kind != autoscalingv2.ExternalMetricSourceType || spec.External.Metric.Name == metric) {
			return w.now.readings[i]
		}
	}
	return nil
}

func (w *world) podMetrics(kind autoscalingv2.MetricSourceType, metric string) (metrics.PodMetricsInfo, time.Time, error) {
	reading := perPod{}
	if err := json.Unmarshal(w.reading(kind, metric), &reading); err != nil {
		return nil, time.Time{}, err
	}
	found := metrics.PodMetricsInfo{}
	for i, value := range reading.values {
		found[podName(i)] = metrics.PodMetric{Timestamp: time.Now(), Window: time.Minute, Value: value}
	}
	return found, time.Now(), nil
}

func (w *world) GetResourceMetric(
	_ context.Context, resource corev1.ResourceName, _ string, _ labels.Selector, _ string,
) (metrics.PodMetricsInfo, time.Time, error) {
	return w.podMetrics(autoscalingv2.ResourceMetricSourceType, string(resource))
}

func (w *world) GetRawMetric(
	metric, _ string, _, _ labels.Selector,
) (metrics.PodMetricsInfo, time.Time, error) {
	return w.podMetrics(autoscalingv2.PodsMetricSourceType, metric)
}

func (w *world) GetObjectMetric(
	string, string, *autoscalingv2.CrossVersionObjectReference, labels.Selector,
) (int64, time.Time, error) {
	return 0, time.Time{}, errors.New("no series has a metric of an object")
}

func (w *world) GetExternalMetric(metric, _ string, _ labels.Selector) ([]int64, time.Time, error) {
	var value *int64
	if err := json.Unmarshal(w.reading(autoscalingv2.ExternalMetricSourceType, metric), &value); err != nil {
		return nil, time.Time{}, err
	}
	if value == nil {
		return nil, time.Time{}, errNoAnswer
	}
	return []int64{*value}, time.Now(), nil
}

func (w *world) scaleClient() *scalefake.FakeScaleClient {
	client := &scalefake.FakeScaleClient{}
	client.AddReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		w.reads++
		return true, &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       autoscalingv1.ScaleSpec{Replicas: w.replicas},
			Status:     autoscalingv1.ScaleStatus{Replicas: w.now.status, Selector: selector},
		}, nil
	})
	client.AddReactor("update", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		scale := action.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
		w.replicas = scale.Spec.Replicas
		return true, scale, nil
	})
	return client
}

// play lets a fresh controller reconcile once for each step, and returns what it left the target with.
func play(t *testing.T, recorded series) []int32 {
	flags := controllerconfig.HPAControllerConfiguration{}
	flagdefaults.RecommendedDefaultHPAControllerConfiguration(&flags)
	if recorded.Flags.Tolerance != nil {
		flags.HorizontalPodAutoscalerTolerance = *recorded.Flags.Tolerance
	}
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: recorded.Spec,
	}
	hpa.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}
	apidefaults.SetObjectDefaults_HorizontalPodAutoscaler(hpa)

	ctx, cancel := context.WithCancel(context.Background())
	client := fake.NewSimpleClientset(hpa)
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	w := &world{hpa: hpa, pods: pods.Informer().GetIndexer()}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{appsv1.SchemeGroupVersion})
	mapper.Add(appsv1.SchemeGroupVersion.WithKind("Deployment"), meta.RESTScopeNamespace)
	controller := podautoscaler.NewHorizontalController(
		ctx,
		client.CoreV1(),
		w.scaleClient(),
		client.AutoscalingV2(),
		mapper,
		w,
		factory.Autoscaling().V2().HorizontalPodAutoscalers(),
		pods,
		flags.HorizontalPodAutoscalerSyncPeriod.Duration,
		flags.HorizontalPodAutoscalerDownscaleStabilizationWindow.Duration,
		flags.HorizontalPodAutoscalerTolerance,
		flags.HorizontalPodAutoscalerCPUInitializationPeriod.Duration,
		flags.HorizontalPodAutoscalerInitialReadinessDelay.Duration,
	)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	done := make(chan struct{})
	go func() {
		defer close(done)
		controller.Run(ctx, 1)
	}()

	period := flags.HorizontalPodAutoscalerSyncPeriod.Duration
	time.Sleep(period / 2)
	left := make([]int32, 0, len(recorded.Steps))
	for i, now := range recorded.Steps {
		if err := w.enter(now); err != nil {
			t.Fatalf("%s, step %d: %v", recorded.Name, i, err)
		}
		time.Sleep(period)
		synctest.Wait()
		if w.reads != 1 {
			t.Fatalf("%s, step %d: %d reconciliations in a sync period", recorded.Name, i, w.reads)
		}
		left = append(left, w.replicas)
	}
	cancel()
	<-done
	factory.Shutdown()
	return left
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
	// A metric without a value is an error to the controller, which the series hold on purpose.
	utilruntime.ErrorHandlers = nil
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
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
