package config

import (
	_ "embed"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

//go:embed flags.txt
var flagsText string

// flagDefs are the flags of keys, in the order of flags.txt.
var flagDefs = sync.OnceValue(func() []flagDef {
	defs, err := parseFlagDefs(flagsText)
	if err != nil {
		panic("BUG: flags.txt: " + err.Error())
	}
	c := Default()
	for i := range defs {
		v, _ := lookup(reflect.ValueOf(&c).Elem(), defs[i].key)
		defs[i].kind = v.Kind()
	}
	return defs
})

func parseFlagDefs(text string) ([]flagDef, error) {
	var defs []flagDef
	blocks := map[string][]flagDef{}
	block, group := "", ""
	for number, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || line[0] == '#':
		case line[0] == '[':
			group = strings.Trim(line, "[]")
		case words[0] == "define":
			block = words[1]
		case words[0] == "end":
			block = ""
		case words[0] == "use":
			flagPrefix := ""
			if len(words) > 3 {
				flagPrefix = words[3]
			}
			if len(blocks[words[1]]) == 0 {
				return nil, fmt.Errorf("line %d: no block %s", number+1, words[1])
			}
			for _, def := range blocks[words[1]] {
				def.key, def.group, def.block, def.prefix = words[2]+def.key, group, words[1], flagPrefix
				def.flags = []string{flagPrefix + def.flags[0]}
				defs = append(defs, def)
			}
		case len(words) < 3:
			return nil, fmt.Errorf("line %d needs a key, a flag and a help", number+1)
		default:
			def := flagDef{key: words[0], flags: strings.Split(words[1], ","), help: strings.Join(words[2:], " "), group: group}
			if block != "" {
				blocks[block] = append(blocks[block], def)
			} else {
				defs = append(defs, def)
			}
		}
	}
	return defs, nil
}
