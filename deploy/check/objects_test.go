package check

import (
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// object is any of Kubernetes' objects.
type object interface {
	GetName() string
	GetNamespace() string
	GetLabels() map[string]string
}

// kinds makes an empty object of each kind that the chart may use.
var kinds = map[string]func() object{
	"v1/ConfigMap":                            func() object { return new(core.ConfigMap) },
	"v1/Secret":                               func() object { return new(core.Secret) },
	"v1/Service":                              func() object { return new(core.Service) },
	"v1/ServiceAccount":                       func() object { return new(core.ServiceAccount) },
	"apps/v1/StatefulSet":                     func() object { return new(apps.StatefulSet) },
	"apps/v1/Deployment":                      func() object { return new(apps.Deployment) },
	"policy/v1/PodDisruptionBudget":           func() object { return new(policy.PodDisruptionBudget) },
	"autoscaling/v2/HorizontalPodAutoscaler":  func() object { return new(autoscaling.HorizontalPodAutoscaler) },
	"networking.k8s.io/v1/Ingress":            func() object { return new(networking.Ingress) },
	"networking.k8s.io/v1/NetworkPolicy":      func() object { return new(networking.NetworkPolicy) },
	"monitoring.coreos.com/v1/ServiceMonitor": func() object { return new(monitoring.ServiceMonitor) },
	"monitoring.coreos.com/v1/PrometheusRule": func() object { return new(monitoring.PrometheusRule) },
}

// decode reads a file of objects: a field that the type does not have is an error, as are two of the same name.
func decode(t *testing.T, text string) []object {
	t.Helper()
	var out []object
	seen := map[string]bool{}
	for doc := range strings.SplitSeq("\n"+text, "\n---\n") {
		var kind meta.TypeMeta
		require.NoError(t, yaml.Unmarshal([]byte(doc), &kind), doc)
		if kind.Kind == "" {
			continue // comments only
		}
		id := kind.APIVersion + "/" + kind.Kind
		make := kinds[id]
		require.NotNil(t, make, "the test does not know %s", id)
		o := make()
		require.NoError(t, yaml.UnmarshalStrict([]byte(doc), o), doc)
		require.False(t, seen[id+o.GetName()], "%s %s is there twice", id, o.GetName())
		seen[id+o.GetName()] = true
		out = append(out, o)
	}
	require.NotEmpty(t, out)
	return out
}

// find returns the only object of a type, or the one of that name.
func find[T object](t *testing.T, objects []object, name string) T {
	t.Helper()
	for _, o := range objects {
		if o, ok := o.(T); ok && (name == "" || o.GetName() == name) {
			return o
		}
	}
	var none T
	t.Fatalf("there is no %T %q", none, name)
	return none
}

func have[T object](objects []object) bool {
	for _, o := range objects {
		if _, ok := o.(T); ok {
			return true
		}
	}
	return false
}

// TestObjects decodes what each file of values gives, and follows the references.
func TestObjects(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			objects := decode(t, readFile(t, "testdata/"+name+".yaml"))
			set := find[*apps.StatefulSet](t, objects, "")
			checkPods(t, objects, set.Spec.Selector, set.Spec.Template)
			checkSet(t, objects, set)
			for _, o := range objects {
				switch o := o.(type) {
				case *apps.Deployment:
					checkPods(t, objects, o.Spec.Selector, o.Spec.Template)
				case *core.Service:
					checkService(t, objects, o)
				case *networking.Ingress:
					checkIngress(t, objects, o)
				case *policy.PodDisruptionBudget:
					require.True(t, selects(t, o.Spec.Selector, set.Spec.Template.Labels))
					require.Equal(t, intstr.FromInt32(1), *o.Spec.MaxUnavailable, "replication survives one")
				case *networking.NetworkPolicy:
					require.True(t, selects(t, &o.Spec.PodSelector, set.Spec.Template.Labels))
				case *autoscaling.HorizontalPodAutoscaler:
					require.Equal(t, set.Name, o.Spec.ScaleTargetRef.Name)
					require.GreaterOrEqual(t, *o.Spec.MinReplicas, int32(2))
					require.Nil(t, set.Spec.Replicas, "a number here would undo what the autoscaler does")
				case *monitoring.ServiceMonitor:
					service := find[*core.Service](t, objects, set.Name)
					require.True(t, selects(t, &o.Spec.Selector, service.Labels))
					require.Contains(t, servicePorts(service), o.Spec.Endpoints[0].Port)
					checkEndpoint(t, set, o.Spec.Endpoints[0])
				case *monitoring.PrometheusRule:
					require.NotEmpty(t, o.Spec.Groups[0].Rules)
				}
			}
		})
	}
}

func selects(t *testing.T, s *meta.LabelSelector, set map[string]string) bool {
	t.Helper()
	selector, err := meta.LabelSelectorAsSelector(s)
	require.NoError(t, err)
	return !selector.Empty() && selector.Matches(labels.Set(set))
}

// checkPods is about what holds for all pods: they are safe, and what they refer to is there.
func checkPods(t *testing.T, objects []object, selector *meta.LabelSelector, pod core.PodTemplateSpec) {
	t.Helper()
	require.True(t, selects(t, selector, pod.Labels))
	require.True(t, *pod.Spec.SecurityContext.RunAsNonRoot)
	require.Positive(t, *pod.Spec.SecurityContext.RunAsUser)
	require.False(t, *pod.Spec.AutomountServiceAccountToken)
	volumes := map[string]bool{"data": true} // of the claim's template
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil {
			find[*core.ConfigMap](t, objects, v.ConfigMap.Name)
		}
	}
	for _, c := range pod.Spec.Containers {
		require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
		require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
		require.Equal(t, []core.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
		require.NotNil(t, c.ReadinessProbe)
		require.NotEmpty(t, c.Resources.Requests)
		for _, m := range c.VolumeMounts {
			require.True(t, volumes[m.Name], "no volume %s", m.Name)
		}
		ports := containerPorts(pod)
		for _, probe := range []*core.Probe{c.ReadinessProbe, c.LivenessProbe} {
			switch {
			case probe == nil:
			case probe.HTTPGet != nil:
				require.Contains(t, ports, probe.HTTPGet.Port.StrVal)
			default:
				require.Contains(t, ports, probe.TCPSocket.Port.StrVal)
			}
		}
	}
}

// checkSet is about the members.
func checkSet(t *testing.T, objects []object, set *apps.StatefulSet) {
	t.Helper()
	pod := set.Spec.Template.Spec
	gossip := find[*core.Service](t, objects, set.Spec.ServiceName)
	require.Equal(t, core.ClusterIPNone, gossip.Spec.ClusterIP)
	require.True(t, gossip.Spec.PublishNotReadyAddresses, "nobody is ready before it has joined")
	require.Equal(t, apps.ParallelPodManagement, set.Spec.PodManagementPolicy)
	require.GreaterOrEqual(t, *pod.TerminationGracePeriodSeconds, int64(120), "a member that stops flushes what it holds")
	require.NotNil(t, pod.Affinity.PodAntiAffinity)
	for _, c := range pod.TopologySpreadConstraints {
		require.True(t, selects(t, c.LabelSelector, set.Spec.Template.Labels))
	}
	require.Len(t, set.Spec.VolumeClaimTemplates, 1)
	if pod.ServiceAccountName != "default" {
		find[*core.ServiceAccount](t, objects, pod.ServiceAccountName)
	}
	secret := pod.Containers[0].EnvFrom[0].SecretRef.Name
	if have[*core.Secret](objects) {
		require.Equal(t, secret, find[*core.Secret](t, objects, "").Name)
	} else {
		require.Equal(t, "logstore-s3", secret)
	}
	for _, name := range set.Spec.Template.Spec.Containers[0].Args {
		require.NotContains(t, name, "{{")
	}
}

// checkEndpoint is about what Prometheus needs to be answered: https where the members speak TLS, and credentials where they want some.
func checkEndpoint(t *testing.T, set *apps.StatefulSet, e monitoring.Endpoint) {
	t.Helper()
	mounts := map[string]string{} // the secret of each volume
	for _, v := range set.Spec.Template.Spec.Volumes {
		if v.Secret != nil {
			mounts[v.Name] = v.Secret.SecretName
		}
	}
	encoded, err := yaml.Marshal(e)
	require.NoError(t, err)
	text := string(encoded)
	if mounts["tls"] != "" {
		require.Contains(t, text, "scheme: https")
		require.NotEmpty(t, *e.TLSConfig.ServerName, "pods are asked by their address, which the certificate does not name")
		require.NotEmpty(t, e.TLSConfig.CA.Secret.Name)
	}
	if mounts["auth"] == "" {
		return
	}
	switch {
	case e.BasicAuth != nil:
		require.NotEmpty(t, e.BasicAuth.Username.Name+e.BasicAuth.Username.Key)
		require.NotEmpty(t, e.BasicAuth.Password.Key)
		require.Equal(t, e.BasicAuth.Username.Name, e.BasicAuth.Password.Name)
	case e.Authorization != nil:
		require.Equal(t, "Bearer", e.Authorization.Type)
		require.NotEmpty(t, e.Authorization.Credentials.Key)
	default:
		require.Equal(t, e.TLSConfig.Cert.Secret.Name, e.TLSConfig.KeySecret.Name)
	}
}

func containerPorts(pod core.PodTemplateSpec) (names []string) {
	for _, p := range pod.Spec.Containers[0].Ports {
		names = append(names, p.Name)
	}
	return names
}

func servicePorts(s *core.Service) (names []string) {
	for _, p := range s.Spec.Ports {
		names = append(names, p.Name)
	}
	return names
}

// checkService checks that a service has pods behind it that have its ports.
func checkService(t *testing.T, objects []object, s *core.Service) {
	t.Helper()
	for _, o := range objects {
		var pod core.PodTemplateSpec
		switch o := o.(type) {
		case *apps.StatefulSet:
			pod = o.Spec.Template
		case *apps.Deployment:
			pod = o.Spec.Template
		default:
			continue
		}
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		for _, p := range s.Spec.Ports {
			require.Contains(t, containerPorts(pod), p.TargetPort.StrVal)
		}
		return
	}
	t.Errorf("the service %s selects no pod", s.Name)
}

func checkIngress(t *testing.T, objects []object, in *networking.Ingress) {
	t.Helper()
	for _, rule := range in.Spec.Rules {
		for _, path := range rule.HTTP.Paths {
			service := find[*core.Service](t, objects, path.Backend.Service.Name)
			require.Contains(t, servicePorts(service), path.Backend.Service.Port.Name)
		}
	}
}

// TestPlain decodes deploy/kubernetes, the secret to fill in too.
func TestPlain(t *testing.T) {
	var all strings.Builder
	for name := range splitPlain(readFile(t, "testdata/plain.yaml")) {
		all.WriteString("---\n" + readFile(t, plainDir+"/"+name))
	}
	all.WriteString("---\n" + readFile(t, plainDir+"/secret.yaml"))
	objects := decode(t, all.String())
	secret := find[*core.Secret](t, objects, "logstore-s3")
	used := find[*core.ConfigMap](t, objects, "logstore").Data["loki.yaml"]
	for key := range secret.StringData {
		require.Regexp(t, `\$\{`+key+"[:}]", used, "the configuration does not read it")
	}
	require.NotContains(t, all.String(), "Helm")
}
