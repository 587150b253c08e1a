package ruler

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"logstore/pkg/rules"
)

// Groups returns the groups of a tenant by namespace, of all of them if namespace is "". If want is not nil, only groups with
// a rule that has one of these labels are there, with these rules alone.
func (r *Ruler) Groups(ctx context.Context, tenant, namespace string, want map[string]string) (map[string][]rules.Group, error) {
	got := r.load(ctx, tenant)
	out := map[string][]rules.Group{}
	for ns, entries := range got.groups[tenant] {
		if namespace != "" && ns != namespace {
			continue
		}
		for _, e := range entries {
			if g, ok := filter(e.group, want); ok {
				out[ns] = append(out[ns], g)
			}
		}
	}
	if len(out) == 0 {
		if len(got.errs) > 0 && got.count == 0 {
			return nil, got.errs[0]
		}
		return nil, ErrNoGroups
	}
	for _, groups := range out {
		slices.SortFunc(groups, func(a, b rules.Group) int { return strings.Compare(a.Name, b.Name) })
	}
	return out, nil
}

func filter(g rules.Group, want map[string]string) (rules.Group, bool) {
	if want == nil {
		return g, true
	}
	g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(rule rules.Rule) bool {
		for name, value := range want {
			if v, ok := rule.Labels[name]; ok && v == value {
				return false
			}
		}
		return true
	})
	return g, len(g.Rules) > 0
}

// Group returns one group.
func (r *Ruler) Group(ctx context.Context, tenant, namespace, group string) (rules.Group, error) {
	if r.deps.Store.objects == nil {
		return rules.Group{}, readOnly("GetRuleGroup unsupported in rule local store")
	}
	got := r.load(ctx, tenant)
	for _, e := range got.groups[tenant][namespace] {
		if e.group.Name == group {
			return e.group, nil
		}
	}
	if len(got.errs) > 0 && got.count == 0 {
		return rules.Group{}, got.errs[0]
	}
	return rules.Group{}, ErrGroupNotFound
}

// maxName bounds a namespace's and a group's name, so that the key's parts fit file systems in base64.
const maxName = 180

// SetGroup checks a group and stores it, in place of one of that name.
func (r *Ruler) SetGroup(ctx context.Context, tenant, namespace string, text []byte) error {
	if r.deps.Store.objects == nil {
		return readOnly("SetRuleGroup unsupported in rule local store")
	}
	g, err := rules.DecodeGroup(text)
	if err != nil {
		return invalid("unable to decoded rule group: " + err.Error())
	}
	if errs := g.Validate(); len(errs) > 0 {
		return invalid(errors.Join(errs...).Error())
	}
	if len(namespace) > maxName || len(g.Name) > maxName {
		return invalid(fmt.Sprintf("the name of a namespace or group must not be longer than %d bytes", maxName))
	}
	r.storeMu.Lock()
	defer r.storeMu.Unlock()
	got := r.deps.Store.names(ctx, tenant)
	n := 1
	for ns, entries := range got.groups[tenant] {
		for _, e := range entries {
			switch {
			case ns != namespace || e.group.Name != g.Name:
				n++
			case e.file != "":
				return invalid(fmt.Sprintf("group %q of namespace %q is in the file %s, which the API does not change", g.Name, ns, e.file))
			}
		}
	}
	if err := r.checkLimits(tenant, n, len(g.Rules)); err != nil {
		return err
	}
	if err := r.deps.Store.objects.set(ctx, tenant, namespace, &g); err != nil {
		return fmt.Errorf("cannot store the rule group: %w", err)
	}
	r.written()
	return nil
}

// checkLimits holds the number of groups that a tenant would have and of rules in a group against the tenant's limits.
func (r *Ruler) checkLimits(tenant string, groups, inGroup int) error {
	lim := r.deps.Limits.For(tenant)
	if limit := lim.RulerMaxRulesPerRuleGroup; limit > 0 && inGroup > limit {
		return invalid(fmt.Sprintf("per-user rules per rule group limit (limit: %d actual: %d) exceeded", limit, inGroup))
	}
	if limit := lim.RulerMaxRuleGroupsPerTenant; limit > 0 && groups > limit {
		return invalid(fmt.Sprintf("per-user rule groups limit (limit: %d actual: %d) exceeded", limit, groups))
	}
	return nil
}

// DeleteGroup removes one group. One that is not there is no error.
func (r *Ruler) DeleteGroup(ctx context.Context, tenant, namespace, group string) error {
	if r.deps.Store.objects == nil {
		return readOnly("DeleteRuleGroup unsupported in rule local store")
	}
	_, err := r.delete(ctx, tenant, namespace, func(e entry) bool { return e.group.Name == group })
	return err
}

// DeleteNamespace removes all groups of a namespace.
func (r *Ruler) DeleteNamespace(ctx context.Context, tenant, namespace string) error {
	if r.deps.Store.objects == nil {
		return readOnly("DeleteNamespace unsupported in rule local store")
	}
	n, err := r.delete(ctx, tenant, namespace, func(entry) bool { return true })
	if n == 0 && err == nil {
		return ErrNamespaceNotFound
	}
	return err
}

// delete removes groups of a namespace and returns how many. That the store cannot be read is an error only if nothing is
// known to be there.
func (r *Ruler) delete(ctx context.Context, tenant, namespace string, which func(entry) bool) (int, error) {
	r.storeMu.Lock()
	defer r.storeMu.Unlock()
	got := r.deps.Store.names(ctx, tenant)
	n := 0
	for _, e := range got.groups[tenant][namespace] {
		if !which(e) {
			continue
		}
		if e.file != "" {
			return n, invalid(fmt.Sprintf("group %q of namespace %q is in the file %s, which the API does not change", e.group.Name, namespace, path.Base(e.file)))
		}
		if err := r.deps.Store.objects.delete(ctx, tenant, namespace, e.group.Name); err != nil {
			return n, fmt.Errorf("cannot remove the rule group: %w", err)
		}
		n++
	}
	if n > 0 {
		r.written()
	} else if len(got.errs) > 0 && got.count == 0 {
		return 0, got.errs[0]
	}
	return n, nil
}

// written makes this member, and the others, look at the store again.
func (r *Ruler) written() {
	r.Changed("api-change")
	if r.deps.Written != nil {
		r.deps.Written()
	}
}
