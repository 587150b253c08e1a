// Package check holds the Kubernetes manifests to what they promise. It is a module of its own, so that Helm and the types of
// Kubernetes stay out of the store's dependencies.
//
// The chart in deploy/helm is rendered with each file of values/ into testdata/, and with plain.yaml into deploy/kubernetes too, by
// Helm itself: `make manifests`. That also runs `helm lint`. The tests need no Helm: they check that what was rendered is what the
// chart's files of today would give, decode every object strictly into its Go type, and follow each reference from one object to
// another. Whether the store takes the rendered configuration and command line is tested with the store, in
// integration/kubernetes_test.go.
package check
