package app

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"logstore/pkg/config"
	"logstore/pkg/ingester"
	"logstore/pkg/logql"
	"logstore/pkg/querier"
	"logstore/pkg/ring"
	"logstore/pkg/rpc"
	"logstore/pkg/schema"
	"logstore/pkg/shipper"
	"logstore/pkg/store"
	"logstore/pkg/wire"
)

// rpcConfig says how members call each other.
func (a *App) rpcConfig() (rpc.Config, error) {
	c, s, m := rpc.DefaultConfig, a.cfg.Server, a.cfg.IngesterClient
	c.Cluster, c.Secret = clusterLabel(a.cfg), a.clusterSecret()
	c.Tracer = a.tracer
	c.Server = rpc.ServerConfig{
		ConnLimit: s.GRPCListenConnLimit, MaxRecv: s.GRPCMaxRecvMsgSize, MaxSend: s.GRPCMaxSendMsgSize, MaxStreams: s.GRPCMaxConcurrentStreams,
		KeepaliveTime: s.GRPCKeepaliveTime, KeepaliveTimeout: s.GRPCKeepaliveTimeout, MinPing: s.GRPCMinTimeBetweenPings,
		PingWithoutStream: s.GRPCPingWithoutStream, Grace: s.GracefulShutdownTimeout,
	}
	c.Client.MaxRecv, c.Client.MaxSend = m.GRPCClientConfig.MaxRecvMsgSize, m.GRPCClientConfig.MaxSendMsgSize
	c.Client.Compression, c.Client.ConnectTimeout = m.GRPCClientConfig.GRPCCompression, m.GRPCClientConfig.ConnectTimeout
	c.Client.HealthCheck, c.Client.PingTimeout = m.PoolConfig.HealthCheckIngesters, m.PoolConfig.RemoteTimeout
	c.Client.Cleanup = m.PoolConfig.ClientCleanupPeriod
	var err error
	if s.GRPCTLSConfig.Enabled() {
		if c.Server.TLS, err = a.serverTLS("grpc", s.GRPCTLSConfig, "h2"); err != nil {
			return c, fmt.Errorf("server.grpc_tls_config: %w", err)
		}
	}
	if m.GRPCClientConfig.TLSEnabled {
		if c.Client.TLS, err = a.clientTLS("member_client", m.GRPCClientConfig); err != nil {
			return c, fmt.Errorf("ingester_client.grpc_client_config: %w", err)
		}
	}
	return c, c.Validate()
}

// newRPC builds the server that other members call, and the pool of connections to them.
func (a *App) newRPC() error {
	cfg, err := a.rpcConfig()
	if err != nil {
		return err
	}
	log := a.logger.With("component", "rpc")
	if a.rpcServer, err = rpc.NewServer(cfg, a.registry, log); err != nil {
		return err
	}
	a.peers, err = rpc.NewPool(cfg, a.ring.Self().Addr, a.rpcServer, a.registry, log)
	return err
}

// listenRPC takes the port for the calls of other members.
func (a *App) listenRPC() (net.Listener, error) {
	cfg := a.cfg.Server
	addr := net.JoinHostPort(cfg.GRPCListenAddress, strconv.Itoa(cfg.GRPCListenPort))
	l, err := net.Listen(cfg.GRPCListenNetwork, addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for gRPC on %s (server.grpc_listen_address, server.grpc_listen_port): %w", addr, err)
	}
	return l, nil
}

// memberAddrs returns where the other members listen for calls.
func (a *App) memberAddrs() []string {
	var out []string
	for _, m := range a.ring.Readable(nil) {
		if !m.Self && strings.Contains(m.Addr, ":") {
			out = append(out, m.Addr)
		}
	}
	return out
}

// clustered tells whether the process may be one of several members.
func (a *App) clustered() bool {
	return a.cfg.Ingester.Lifecycler.Ring.KVStore.Store == config.RingMemberlist
}

// replicationFactor is the number of members that are to have each stream.
func (a *App) replicationFactor() int {
	if !a.clustered() {
		return 1
	}
	return max(1, a.cfg.Ingester.Lifecycler.Ring.ReplicationFactor)
}

// recentLogs returns what members have that the bucket does not show yet: those of all members, if there are several.
func (a *App) recentLogs() logql.Source {
	if !a.clustered() {
		return a.ingester
	}
	return querier.NewMembers(querier.MembersDeps{
		Readable: a.ring.Readable, Own: a.ingester, ReplicationFactor: a.replicationFactor(),
		Answers: a.peers.Answers,
		Remote:  func(m ring.Member) logql.Source { return a.peers.Source(m.Addr, a.store.Piece) },
		Logger:  a.logger.With("component", "querier"), Registerer: a.registry,
	})
}

// serveMembers answers what other members ask of this one.
func (a *App) serveMembers() {
	a.rpcServer.HandlePush(a.ingester.Push)
	a.rpcServer.HandleTransfer(a.ingester.Accept)
	// Memory comes first: what is flushed meanwhile is then in the own index.
	a.rpcServer.HandleSource(querier.Union(a.ingester, a.store.Over(map[string]store.Index{schema.StoreBoltDB: a.shipper.Own()})))
	a.rpcServer.HandleObserve(func(fn func(string, []wire.Stream)) func() { return a.ingester.Observe(fn) })
	a.rpcServer.Handle(indexFile, func(_ context.Context, message []byte) ([]byte, error) {
		file, err := shipper.ParseHanded(message)
		if err != nil {
			return nil, err
		}
		return nil, a.shipper.Accept(file)
	})
	a.rpcServer.Handle(indexChanged, func(context.Context, []byte) ([]byte, error) {
		a.shipper.Refresh()
		return nil, nil
	})
}

// indexFile is the call by which a member that leaves hands over an index file.
const indexFile = "index-file"

// indexHandOver gives an index file that the bucket does not take to the first other member that takes it, if there may be any.
func (a *App) indexHandOver() func(context.Context, shipper.Handed) error {
	if !a.clustered() {
		return nil
	}
	return func(ctx context.Context, file shipper.Handed) error {
		failed := fmt.Errorf("%w: there is no other member", wire.ErrUnavailable)
		message := file.Append(nil)
		for m := range a.ring.Walk(ring.TokenOf(file.Name)) {
			if m.Self || ctx.Err() != nil {
				continue
			}
			call, cancel := context.WithTimeout(ctx, handOverTimeout)
			_, err := a.peers.Call(call, m.Addr, indexFile, message)
			cancel()
			if err == nil {
				return nil
			}
			failed = err
		}
		return failed
	}
}

// handOverTimeout bounds the hand-over of one index file to one member.
const handOverTimeout = 20 * time.Second

// indexChanged is the call that says that a member has uploaded index files.
const indexChanged = "index-changed"

// tellIndexChanged lets the other members look for index files that this one has uploaded.
func (a *App) tellIndexChanged() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, addr := range a.memberAddrs() {
		wg.Go(func() {
			if _, err := a.peers.Call(ctx, addr, indexChanged, nil); err != nil {
				a.logger.Debug("cannot tell a member of new index files; it finds them at its next look", "member", addr, "err", err)
			}
		})
	}
	wg.Wait()
}

// handOver gives what the ingester could not flush to other members, if there may be any.
func (a *App) handOver() ingester.HandOver {
	if !a.clustered() {
		return nil
	}
	return func(ctx context.Context, tenant string, streams []wire.Stream) error {
		return a.distributor.HandOver(ctx, tenant, streams)
	}
}

// localStreams is the part of a tenant's streams in the whole cluster that may be on this member.
func (a *App) localStreams(global int) int {
	members := a.ring.Healthy()
	return (global*min(a.replicationFactor(), members) + members - 1) / members
}
