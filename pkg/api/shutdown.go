package api

import (
	"net/http"
)

// ShutdownMarker is the note that the next stop of the ingester is its last, so that it flushes everything and leaves the
// ring for good.
type ShutdownMarker interface {
	Get() (set bool, err error)
	Set(set bool) error
}

// prepareShutdown shows, sets and removes the marker.
func (a *API) prepareShutdown(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		if err := a.deps.Shutdown.Set(r.Method == http.MethodPost); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	set, err := a.deps.Shutdown.Get()
	if err != nil {
		return err
	}
	text := "unset"
	if set {
		text = "set"
	}
	writeText(w, http.StatusOK, text)
	return nil
}
