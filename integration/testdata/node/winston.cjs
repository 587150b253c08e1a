// Logs N lines to the store at URL with winston-loki, as protobuf or JSON: winston.cjs URL APP N proto|json
const { createLogger, format } = require('winston')
const LokiTransport = require('winston-loki')
const [url, app, n, encoding] = process.argv.slice(2)

const transport = new LokiTransport({
  host: url, json: encoding === 'json', labels: { app }, interval: 1, batching: true, clearOnError: false, replaceTimestamp: true,
  format: format.json(), headers: { 'X-Scope-OrgID': 'winston' },
  onConnectionError: (err) => { console.error(err); process.exit(1) }
})
const logger = createLogger({ level: 'debug', transports: [transport] })
for (let i = 0; i < Number(n); i++) {
  logger.log({ level: ['info', 'warn', 'error'][i % 3], message: `line ${i} "größe"`, n: i, labels: { part: `p${i % 2}` } })
}
transport.flush().then(() => process.exit(0), (err) => { console.error(err); process.exit(1) })
