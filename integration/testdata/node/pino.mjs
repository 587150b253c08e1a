// Logs N lines to the store at URL with pino-loki: pino.mjs URL APP N
import pino from 'pino'
import { pinoLoki } from 'pino-loki'
const [url, app, n] = process.argv.slice(2)

const stream = pinoLoki({
  host: url, labels: { app }, propsToLabels: ['part'], headers: { 'X-Scope-OrgID': 'pino' }, batching: { interval: 1 },
  structuredMetaKey: 'meta', silenceErrors: false
})
const logger = pino({ level: 'debug' }, stream)
for (let i = 0; i < Number(n); i++) {
  logger[['info', 'warn', 'error'][i % 3]]({ n: i, part: `p${i % 2}`, meta: { trace: `t${i}` } }, `line ${i} "größe"`)
}
stream.end()
stream.on('close', () => process.exit(0))
