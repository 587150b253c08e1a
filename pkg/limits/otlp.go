package limits

import (
	"fmt"

	"github.com/grafana/regexp"
)

// OTLPAction says what becomes of an attribute of an OTLP record.
type OTLPAction string

// The actions of OTLP rules.
const (
	OTLPIndexLabel         OTLPAction = "index_label"         // a label of the stream
	OTLPStructuredMetadata OTLPAction = "structured_metadata" // metadata of the entry
	OTLPDrop               OTLPAction = "drop"                // left out
)

// OTLPConfig maps OTLP attributes to labels and structured metadata. Rules are tried in their order, the first that
// names the attribute wins; an attribute without a rule becomes structured metadata.
type OTLPConfig struct {
	ResourceAttributes  OTLPResourceAttributes `loki:"resource_attributes"`
	ScopeAttributes     []OTLPAttributes       `loki:"scope_attributes"`
	LogAttributes       []OTLPAttributes       `loki:"log_attributes"`
	SeverityTextAsLabel bool                   `loki:"severity_text_as_label"`

	// DefaultIndexLabels are the resource attributes that become labels unless a rule of the tenant says otherwise or
	// IgnoreDefaults is set (distributor.otlp_config.default_resource_attributes_as_index_labels).
	DefaultIndexLabels []string `loki:"-"`
}

// OTLPResourceAttributes are the rules for resource attributes.
type OTLPResourceAttributes struct {
	IgnoreDefaults   bool             `loki:"ignore_defaults"`
	AttributesConfig []OTLPAttributes `loki:"attributes_config"`
}

// OTLPAttributes is one rule: an action for attributes that are named or that match a regular expression wholly.
type OTLPAttributes struct {
	Action     OTLPAction `loki:"action"`
	Attributes []string   `loki:"attributes,list"`
	Regex      string     `loki:"regex"`
}

// DefaultOTLPConfig returns Loki's mapping: the attributes that usually name a source become labels.
func DefaultOTLPConfig() OTLPConfig {
	return OTLPConfig{DefaultIndexLabels: []string{
		"service.name", "service.namespace", "service.instance.id", "deployment.environment",
		"deployment.environment.name", "cloud.region", "cloud.availability_zone", "k8s.cluster.name",
		"k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "container.name", "k8s.replicaset.name",
		"k8s.deployment.name", "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name",
	}}
}

// OTLPRules is an OTLPConfig compiled: safe for concurrent use.
type OTLPRules struct {
	// SeverityTextAsLabel says that the severity text becomes the label severity_text.
	SeverityTextAsLabel bool

	resource, scope, log ruleSet
}

// Resource returns what becomes of a resource attribute, by its OTLP name ("service.name").
func (r *OTLPRules) Resource(attribute string) OTLPAction { return r.resource.action(attribute) }

// Scope returns what becomes of a scope attribute.
func (r *OTLPRules) Scope(attribute string) OTLPAction { return r.scope.action(attribute) }

// Log returns what becomes of a log record's attribute.
func (r *OTLPRules) Log(attribute string) OTLPAction { return r.log.action(attribute) }

// Compile checks the rules and makes them ready for use.
func (c OTLPConfig) Compile() (*OTLPRules, error) {
	r := &OTLPRules{SeverityTextAsLabel: c.SeverityTextAsLabel}
	resource := c.ResourceAttributes.AttributesConfig
	if !c.ResourceAttributes.IgnoreDefaults && len(c.DefaultIndexLabels) > 0 {
		resource = append(resource[:len(resource):len(resource)], OTLPAttributes{
			Action: OTLPIndexLabel, Attributes: c.DefaultIndexLabels,
		})
	}
	var err error
	if r.resource, err = compileRules(resource); err != nil {
		return nil, fmt.Errorf("resource_attributes.attributes_config%w", err)
	}
	if r.scope, err = compileRules(c.ScopeAttributes); err != nil {
		return nil, fmt.Errorf("scope_attributes%w", err)
	}
	if r.log, err = compileRules(c.LogAttributes); err != nil {
		return nil, fmt.Errorf("log_attributes%w", err)
	}
	return r, nil
}

// ruleSet finds the first rule for an attribute: by one look-up among the names, then over the regular expressions of
// earlier rules.
type ruleSet struct {
	names   map[string]namedRule
	regexes []regexRule
}

type namedRule struct {
	action OTLPAction
	index  int
}

type regexRule struct {
	regex  *regexp.Regexp
	action OTLPAction
	index  int
}

func compileRules(rules []OTLPAttributes) (ruleSet, error) {
	set := ruleSet{names: map[string]namedRule{}}
	for i, rule := range rules {
		switch rule.Action {
		case OTLPIndexLabel, OTLPStructuredMetadata, OTLPDrop:
		default:
			return set, fmt.Errorf("[%d].action: %q is none of index_label, structured_metadata, drop", i, rule.Action)
		}
		if len(rule.Attributes) == 0 && rule.Regex == "" {
			return set, fmt.Errorf("[%d]: neither attributes nor regex is set", i)
		}
		for _, name := range rule.Attributes {
			if _, ok := set.names[name]; !ok {
				set.names[name] = namedRule{action: rule.Action, index: i}
			}
		}
		if rule.Regex == "" {
			continue
		}
		regex, err := regexp.Compile("^(?:" + rule.Regex + ")$")
		if err != nil {
			return set, fmt.Errorf("[%d].regex: %w", i, err)
		}
		set.regexes = append(set.regexes, regexRule{regex: regex, action: rule.Action, index: i})
	}
	return set, nil
}

func (s *ruleSet) action(attribute string) OTLPAction {
	named, ok := s.names[attribute]
	for i := range s.regexes {
		rule := &s.regexes[i]
		if ok && named.index <= rule.index {
			break
		}
		if rule.regex.MatchString(attribute) {
			return rule.action
		}
	}
	if ok {
		return named.action
	}
	return OTLPStructuredMetadata
}
