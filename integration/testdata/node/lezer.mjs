// Reads a JSON list of queries and writes a list of booleans: whether the grammar of Grafana's editor finds no error in each.
import { readFileSync } from 'node:fs'
import { parser } from '@grafana/lezer-logql'

const answers = JSON.parse(readFileSync(0, 'utf8')).map((query) => {
  let bad = false
  parser.parse(query).iterate({ enter: (node) => { bad ||= node.type.isError } })
  return !bad
})
process.stdout.write(JSON.stringify(answers))
