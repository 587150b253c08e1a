package app

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"syscall"

	"logstore/pkg/auth"
)

// newAuth reads who may ask, if the configuration names a file of users.
func (a *App) newAuth() error {
	if a.cfg.Logstore.Auth.File == "" {
		return nil
	}
	var err error
	a.auth, err = auth.New(a.cfg.Users(), a.logger.With("component", "auth"), a.registry)
	return err
}

// runAuth looks at the file of users each period, and at once when the process is sent SIGHUP.
func (a *App) runAuth(ctx context.Context) error {
	if a.auth == nil {
		<-ctx.Done()
		return nil
	}
	hangups, reload := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	go func() {
		for {
			select {
			case <-hangups:
			case <-ctx.Done():
				return
			}
			select {
			case reload <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return a.auth.Run(ctx, reload)
}

// clusterSecret is what other members must show when they call this one. A store alone with users takes calls from nobody: its port
// for members would be a way around the users.
func (a *App) clusterSecret() string {
	if s := a.cfg.Logstore.Auth.ClusterSecret; s != "" || a.clustered() || a.cfg.Logstore.Auth.File == "" {
		return s
	}
	return rand.Text()
}
