package main

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

// rule says how one Pods metric is asked of Prometheus.
type rule struct {
	series         string             // .Series of the query
	namespace, pod string             // the Prometheus labels that hold them
	query          *template.Template // PromQL, delimiters << and >>
}

// rulesFile is the part of prometheus-adapter's configuration that is understood here.
type rulesFile struct {
	Rules []struct {
		SeriesQuery string `json:"seriesQuery"`
		Resources   struct {
			Overrides map[string]struct {
				Resource string `json:"resource"`
			} `json:"overrides"`
		} `json:"resources"`
		Name struct {
			Matches string `json:"matches"`
			As      string `json:"as"`
		} `json:"name"`
		MetricsQuery string `json:"metricsQuery"`
	} `json:"rules"`
}

// seriesName finds the series in `name{…}` and in `{__name__="name",…}`.
var seriesName = regexp.MustCompile(`^([a-zA-Z_:][\w:]*)|__name__="([^"]+)"`)

// parseRules maps metric names to rules. Whatever it does not understand is an error: a rule
// half applied would scale on the wrong number.
func parseRules(text []byte) (map[string]rule, error) {
	var file rulesFile
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		return nil, err
	}
	rules := map[string]rule{}
	for i, r := range file.Rules {
		label := map[string]string{}
		for name, override := range r.Resources.Overrides {
			label[override.Resource] = name
		}
		series := seriesName.FindStringSubmatch(r.SeriesQuery)
		query, err := template.New(r.Name.As).Delims("<<", ">>").Parse(r.MetricsQuery)
		_, known := rules[r.Name.As]
		switch {
		case series == nil:
			return nil, fmt.Errorf("rules[%d].seriesQuery: must name one series", i)
		case r.Name.As == "" || r.Name.Matches != "":
			return nil, fmt.Errorf("rules[%d].name: must have `as` and no `matches`", i)
		case known:
			return nil, fmt.Errorf("rules[%d].name.as: %q has a rule already", i, r.Name.As)
		case label["namespace"] == "" || label["pod"] == "":
			return nil, fmt.Errorf("rules[%d].resources.overrides: must name namespace and pod", i)
		case err != nil:
			return nil, fmt.Errorf("rules[%d].metricsQuery: %w", i, err)
		}
		rules[r.Name.As] = rule{series[1] + series[2], label["namespace"], label["pod"], query}
	}
	return rules, nil
}

// promQL is the rule's query for these pods of the namespace.
func (r rule) promQL(namespace string, pods []string) (string, error) {
	var out strings.Builder
	// Names of pods are DNS names: the dot is the only character a pattern would misread.
	pattern := strings.ReplaceAll(strings.Join(pods, "|"), ".", `\\.`)
	err := r.query.Execute(&out, map[string]string{
		"Series":        r.series,
		"LabelMatchers": fmt.Sprintf(`%s="%s",%s=~"%s"`, r.namespace, namespace, r.pod, pattern),
		"GroupBy":       r.pod,
	})
	return out.String(), err
}
