// Package limits holds what a tenant may do: one concrete struct with a field for each key of Loki's limits_config, the
// defaults of Loki 3.7, and the overrides of single tenants, which may change while the store runs.
//
// Nouns: Limits are all limits of one tenant; Overrides are the tenants that differ from the defaults; a door is a place
// that limits are written down in (the configuration file, the runtime file): those are read by package config, which
// finds a field by its `loki` tag.
//
// Caveats. A *Limits that For returns is shared and must not be changed; it stays valid after a reload, with the old
// values, so take it once per request. Zero means "no limit" for every count, size and duration, except where a field
// says otherwise. Retention and policy selectors are strings here: who uses them compiles them, for the parser lives on
// a higher floor. There are no locks: a reload swaps one pointer.
//
// Differences from Loki's defaults: none in this package.
package limits
