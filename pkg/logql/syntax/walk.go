package syntax

// Walk calls fn for the expression and everything inside it that is an expression, outer ones first and left ones before
// right ones. The query of a range aggregation counts.
func Walk(expr Expr, fn func(Expr)) {
	fn(expr)
	switch e := expr.(type) {
	case *RangeAggregation:
		Walk(e.Query, fn)
	case *VectorAggregation:
		Walk(e.Expr, fn)
	case *BinaryExpr:
		Walk(e.Left, fn)
		Walk(e.Right, fn)
	case *LabelReplace:
		Walk(e.Expr, fn)
	}
}
