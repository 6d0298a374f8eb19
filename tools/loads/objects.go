package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// Objects that the load create makes, and the load delete takes away, carry this label.
const passing = "bench=passing"

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{"app": "bench"}},
		Data:       map[string]string{"key": strings.Repeat("v", 100)},
	}
}

// prepare makes what the other loads take for granted.
func prepare(ctx context.Context, c *clients, _ options) (outcome, error) {
	core := c.shared.CoreV1()
	made := []error{}
	_, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	made = append(made, err)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: namespace}}
	_, err = core.ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{})
	made = append(made, err)
	_, err = core.ConfigMaps(namespace).Create(ctx, configMap("one"), metav1.CreateOptions{})
	for _, err := range append(made, err) {
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return outcome{}, err
		}
	}
	return outcome{}, nil
}

func fillConfigMaps(ctx context.Context, c *clients, o options) (outcome, error) {
	return counted(o, func(number int) error {
		_, err := c.shared.CoreV1().ConfigMaps(namespace).Create(ctx, configMap(fmt.Sprintf("filled-%05d", number)), metav1.CreateOptions{})
		return err
	})
}

func fillNodes(ctx context.Context, c *clients, o options) (outcome, error) {
	return counted(o, func(number int) error {
		_, err := c.shared.CoreV1().Nodes().Create(ctx, node(number), metav1.CreateOptions{})
		return err
	})
}

func fillPods(ctx context.Context, c *clients, o options) (outcome, error) {
	return counted(o, func(number int) error {
		_, err := c.shared.CoreV1().Pods(namespace).Create(ctx, pod(number), metav1.CreateOptions{})
		return err
	})
}

func node(number int) *corev1.Node {
	name := fmt.Sprintf("node-%05d", number)
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("8"),
		corev1.ResourceMemory:           resource.MustParse("32Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
		corev1.ResourcePods:             resource.MustParse("110"),
	}
	var conditions []corev1.NodeCondition
	for _, kind := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		conditions = append(conditions, corev1.NodeCondition{
			Type: kind, Status: corev1.ConditionTrue, Reason: "KubeletHasSufficient" + string(kind),
			Message: "the kubelet says so", LastHeartbeatTime: now, LastTransitionTime: now,
		})
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
			"topology.kubernetes.io/zone": fmt.Sprintf("zone-%d", number%3),
		}},
		Spec: corev1.NodeSpec{PodCIDR: fmt.Sprintf("10.%d.%d.0/24", 128+number/256, number%256)},
		Status: corev1.NodeStatus{
			Capacity: room, Allocatable: room, Conditions: conditions,
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.16.%d.%d", number/256, number%256)}},
			NodeInfo: corev1.NodeSystemInfo{
				MachineID: name, SystemUUID: name, BootID: name, KernelVersion: "6.12", OSImage: "Debian GNU/Linux 13",
				ContainerRuntimeVersion: "containerd://1.7", KubeletVersion: "v1.36.3", OperatingSystem: "linux", Architecture: "amd64",
			},
		},
	}
}

func pod(number int) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("pod-%05d", number), Namespace: namespace,
			Labels: map[string]string{"app": "bench", "replica": fmt.Sprint(number)},
		},
		Spec: corev1.PodSpec{
			NodeName: fmt.Sprintf("node-%05d", number%5000),
			Containers: []corev1.Container{{
				Name: "main", Image: "registry.k8s.io/pause:3.10",
				Env:   []corev1.EnvVar{{Name: "MODE", Value: "bench"}},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi"),
				}},
				ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}},
			}},
		},
	}
}

func get(ctx context.Context, c *clients, o options) (outcome, error) {
	return timed(o, func(_, _ int) error {
		_, err := c.shared.CoreV1().ConfigMaps(namespace).Get(ctx, "one", metav1.GetOptions{})
		return err
	})
}

func listPage(ctx context.Context, c *clients, o options) (outcome, error) {
	return timed(o, func(_, _ int) error {
		_, err := c.shared.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{Limit: 500})
		return err
	})
}

func list(ctx context.Context, c *clients, o options) (outcome, error) {
	return timed(o, func(_, _ int) error {
		_, err := c.shared.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{})
		return err
	})
}

func create(ctx context.Context, c *clients, o options) (outcome, error) {
	return timed(o, func(worker, turn int) error {
		made := configMap(fmt.Sprintf("passing-%d-%d-%d", o.first, worker, turn))
		made.Labels["bench"] = "passing"
		_, err := c.shared.CoreV1().ConfigMaps(namespace).Create(ctx, made, metav1.CreateOptions{})
		return err
	})
}

// remove makes `count` objects, unmeasured, and takes them away.
func remove(ctx context.Context, c *clients, o options) (outcome, error) {
	maps := c.shared.CoreV1().ConfigMaps(namespace)
	name := func(number int) string { return fmt.Sprintf("passing-%d", number) }
	if _, err := counted(o, func(number int) error {
		_, err := maps.Create(ctx, configMap(name(number)), metav1.CreateOptions{})
		return err
	}); err != nil {
		return outcome{}, err
	}
	return counted(o, func(number int) error {
		return maps.Delete(ctx, name(number), metav1.DeleteOptions{})
	})
}

// sweep takes away what passing loads have left, in one call, so that the next one finds the same state.
func sweep(ctx context.Context, c *clients, _ options) (outcome, error) {
	return outcome{}, c.shared.CoreV1().ConfigMaps(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: passing})
}

// owned gives each worker an object of its own, so that no update meets another's.
func owned(ctx context.Context, c *clients, o options) ([]*corev1.ConfigMap, error) {
	var made []*corev1.ConfigMap
	for worker := range o.workers {
		maps := c.shared.CoreV1().ConfigMaps(namespace)
		name := fmt.Sprintf("owned-%02d", worker)
		found, err := maps.Create(ctx, configMap(name), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			found, err = maps.Get(ctx, name, metav1.GetOptions{})
		}
		if err != nil {
			return nil, err
		}
		made = append(made, found)
	}
	return made, nil
}

// value changes with every turn of every run: a write that changes nothing is not stored.
func value(worker, turn int) string {
	return fmt.Sprintf("%d-%d-%d", time.Now().UnixNano(), worker, turn)
}

func update(ctx context.Context, c *clients, o options) (outcome, error) {
	objects, err := owned(ctx, c, o)
	if err != nil {
		return outcome{}, err
	}
	return timed(o, func(worker, turn int) error {
		objects[worker].Data["turn"] = value(worker, turn)
		updated, err := c.shared.CoreV1().ConfigMaps(namespace).Update(ctx, objects[worker], metav1.UpdateOptions{})
		if err == nil {
			objects[worker] = updated
		}
		return err
	})
}

func patch(ctx context.Context, c *clients, o options) (outcome, error) {
	objects, err := owned(ctx, c, o)
	if err != nil {
		return outcome{}, err
	}
	return timed(o, func(worker, turn int) error {
		body := fmt.Appendf(nil, `{"data":{"turn":%q}}`, value(worker, turn))
		_, err := c.shared.CoreV1().ConfigMaps(namespace).Patch(ctx, objects[worker].Name, types.StrategicMergePatchType, body, metav1.PatchOptions{})
		return err
	})
}

func apply(ctx context.Context, c *clients, o options) (outcome, error) {
	return timed(o, func(worker, turn int) error {
		applied := applycorev1.ConfigMap(fmt.Sprintf("applied-%02d", worker), namespace).
			WithLabels(map[string]string{"app": "bench"}).
			WithData(map[string]string{"key": strings.Repeat("v", 100), "turn": value(worker, turn)})
		_, err := c.shared.CoreV1().ConfigMaps(namespace).Apply(ctx, applied, metav1.ApplyOptions{FieldManager: "bench", Force: true})
		return err
	})
}
