// Command keda replays recorded series on KEDA's own executor, the part that moves a target between zero and one, on a
// clock that jumps (testing/synctest). It reads series as JSON, one a line, from standard input, and writes for each a
// line with the replicas that the target was left with at every step, and the bounds that KEDA hands its autoscaler.
// The last line is PASS.
//
// What KEDA does besides is not run here: its loop, which polls and keeps the time of the last activity, stands below in
// a few lines; its Prometheus trigger, which calls a value above the activation threshold active, sits in one package
// with the clients of all its other triggers. Between one and many the horizontal autoscaler decides (command hpa).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scaling/executor"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const rival = "github.com/kedacore/keda/v2"

// series is one ScaledObject's life: its spec as a user writes it, and the activation threshold of its one trigger.
type series struct {
	Name                string                        `json:"name"`
	Spec                kedav1alpha1.ScaledObjectSpec `json:"spec"`
	ActivationThreshold float64                       `json:"activationThreshold"`
	Steps               []step                        `json:"steps"`
}

// step is an instant: [seconds since the first, replicas asked for, the trigger's value or null for an error].
type step struct {
	at       float64
	replicas int32
	value    *float64
}

func (s *step) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&s.at, &s.replicas, &s.value})
}

type answer struct {
	Name     string  `json:"name"`
	Version  string  `json:"version"`
	Bounds   []int32 `json:"bounds"`
	Replicas []int32 `json:"replicas"`
}

// target is the Deployment that is scaled, as a cached client shows it.
type target struct {
	client.Client
	replicas int32
}

func (t *target) Get(_ context.Context, _ types.NamespacedName, object client.Object, _ ...client.GetOption) error {
	deployment, known := object.(*appsv1.Deployment)
	if !known {
		return fmt.Errorf("nothing of type %T is recorded", object)
	}
	deployment.Spec.Replicas = &t.replicas
	return nil
}

func (t *target) scaleClient() *scalefake.FakeScaleClient {
	scales := &scalefake.FakeScaleClient{}
	scales.AddReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: t.replicas}}, nil
	})
	scales.AddReactor("update", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		scale := action.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
		t.replicas = scale.Spec.Replicas
		return true, scale, nil
	})
	return scales
}

func play(t *testing.T, recorded series) answer {
	object := &kedav1alpha1.ScaledObject{
		ObjectMeta: metav1.ObjectMeta{Namespace: "recorded", Name: "target", CreationTimestamp: metav1.Now()},
		Spec:       recorded.Spec,
	}
	object.Spec.ScaleTargetRef = &kedav1alpha1.ScaleTarget{Name: "target"}
	object.Status.ScaleTargetGVKR = &kedav1alpha1.GroupVersionKindResource{
		Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments",
	}
	triggers, err := kedav1alpha1.AsDuckWithTriggers(object)
	if err != nil {
		t.Fatal(err)
	}
	deployment := &target{}
	scaler := executor.NewScaleExecutor(
		deployment, deployment.scaleClient(), nil, time.Minute, &events.FakeRecorder{},
	)
	created, next := time.Now(), time.Now()
	found := answer{
		Name:    recorded.Name,
		Version: rival + " " + version(rival),
		Bounds:  []int32{*object.GetHPAMinReplicas(), object.GetHPAMaxReplicas()},
	}
	for _, now := range recorded.Steps {
		time.Sleep(time.Until(created.Add(time.Duration(now.at * float64(time.Second)))))
		deployment.replicas = now.replicas
		if !time.Now().Before(next) {
			next = next.Add(triggers.GetPollingInterval())
			active := now.value != nil && *now.value > recorded.ActivationThreshold
			result := scaler.RequestScale(
				context.Background(), object, active, now.value == nil, executor.ScaleExecutorOptions{},
			)
			if result.Error != nil {
				t.Fatalf("%s, at %g s: %v", recorded.Name, now.at, result.Error)
			}
			if result.LastActiveTime != nil {
				object.Status.LastActiveTime = result.LastActiveTime
			}
		}
		found.Replicas = append(found.Replicas, deployment.replicas)
	}
	return found
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
	log.SetLogger(logr.Discard())
	answers := json.NewEncoder(os.Stdout)
	lines := json.NewDecoder(os.Stdin)
	for {
		recorded := series{}
		if err := lines.Decode(&recorded); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(fmt.Errorf("reading series: %w", err))
		}
		var found answer
		synctest.Test(t, func(t *testing.T) { found = play(t, recorded) })
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
