package config

import (
	"io"

	"go.yaml.in/yaml/v3"
)

// WriteValues writes any value as YAML; maps come in ascending order of their keys. It is for pages that show a part of the
// configuration, such as the limits of a tenant.
func WriteValues(w io.Writer, v any) error {
	out, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(out)
	return err
}
