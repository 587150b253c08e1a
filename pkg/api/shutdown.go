package api

import (
	"net/http"
	"strconv"
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

// shutdownIngester shuts the ingester down and answers when that is done.
func (a *API) shutdownIngester(w http.ResponseWriter, r *http.Request) error {
	flags := [3]bool{true, false, true}
	for i, name := range [...]string{"flush", "delete_ring_tokens", "terminate"} {
		text := r.Form.Get(name)
		if text == "" {
			continue
		}
		var err error
		if flags[i], err = strconv.ParseBool(text); err != nil {
			return badRequest("invalid boolean in parameter %s: %q", name, text)
		}
	}
	if err := a.deps.ShutdownIngester(r.Context(), flags[0], flags[1], flags[2]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
