package api

import (
	"net/http"
	"time"
)

// withPatience lets an answer take as long as its limits allow, which for queries is limits_config.query_timeout. The server's
// time-outs begin with a request, so that one that runs for longer than they are would end without an answer: by the first the
// client seems to have left, by the second the connection is cut. Here the request has been read, so that the time to read it is over, and the time
// to write the answer begins with its first byte. A client that does not take its answer is still cut off.
func (a *API) withPatience(h handlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		rec, ok := w.(*recorder)
		if !ok {
			return h(w, r)
		}
		conn := http.NewResponseController(rec.ResponseWriter)
		// What cannot move its deadlines has none of a server's either.
		_ = conn.SetReadDeadline(time.Time{})
		if timeout := a.cfg.WriteTimeout; timeout > 0 && conn.SetWriteDeadline(time.Time{}) == nil {
			rec.begin = func() { _ = conn.SetWriteDeadline(time.Now().Add(timeout)) } // else the connection is gone
		}
		return h(w, r)
	}
}
