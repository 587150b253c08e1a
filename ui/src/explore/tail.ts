// Live tail over a websocket, with a bound on what is kept.
import { base, flatten, tenant, type Entry } from '../api';

export interface TailState { entries: Entry[]; dropped: number; status: 'connecting' | 'live' | 'ended'; reason: string }

const kept = 5000;

export class Tail {
  private socket?: WebSocket;
  private entries: Entry[] = [];
  private dropped = 0;
  private serial = 0;
  private waiting?: number;
  private closed = false;
  private retries = 0;
  paused = false;

  constructor(private query: string, private changed: (s: TailState) => void) { this.connect(); }

  private connect() {
    const path = `${location.origin.replace(/^http/, 'ws')}${base}/loki/api/v1/tail?query=${encodeURIComponent(this.query)}&limit=100`;
    this.tell('connecting', '');
    // A browser cannot set headers on a websocket; the server takes the tenant from the parameter of the page's own.
    this.socket = new WebSocket(path + (tenant.get() ? `&tenant=${encodeURIComponent(tenant.get())}` : ''));
    this.socket.onopen = () => { this.retries = 0; this.tell('live', ''); };
    this.socket.onmessage = (m) => this.frame(JSON.parse(m.data));
    this.socket.onclose = (e) => {
      if (this.closed) return;
      if (e.code === 1006 && this.retries < 5) {
        this.retries++;
        setTimeout(() => { if (!this.closed) this.connect(); }, 1000 * this.retries);
        return;
      }
      this.tell('ended', e.reason || (e.code === 1006 ? 'the connection broke' : `closed with code ${e.code}`));
    };
  }

  private frame(f: any) {
    const fresh = flatten(f.streams ?? [], false).map((e) => ({ ...e, id: `t${this.serial++}` }));
    this.dropped += f.dropped_entries?.length ?? 0;
    this.entries = [...fresh, ...this.entries].slice(0, kept);
    // Frames come faster than anybody reads: the screen is told ten times a second.
    this.waiting ??= window.setTimeout(() => { this.waiting = undefined; if (!this.paused) this.tell('live', ''); }, 100);
  }

  private tell(status: TailState['status'], reason: string) { this.changed({ entries: this.entries, dropped: this.dropped, status, reason }); }

  resume() { this.paused = false; this.tell('live', ''); }
  stop() { this.closed = true; clearTimeout(this.waiting); this.socket?.close(1000); }
}
