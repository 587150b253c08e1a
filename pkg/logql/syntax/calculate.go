package syntax

import "math"

// Calculate applies a binary operator to two numbers. For comparisons v is the left number and keep their outcome; for
// arithmetic keep is true. Division and remainder by zero are NaN.
func Calculate(op string, left, right float64) (v float64, keep bool) {
	switch op {
	case "+":
		return left + right, true
	case "-":
		return left - right, true
	case "*":
		return left * right, true
	case "/":
		if right == 0 {
			return math.NaN(), true
		}
		return left / right, true
	case "%":
		if right == 0 {
			return math.NaN(), true
		}
		return math.Mod(left, right), true
	case "^":
		return math.Pow(left, right), true
	case "==":
		return left, left == right
	case "!=":
		return left, left != right
	case ">":
		return left, left > right
	case ">=":
		return left, left >= right
	case "<":
		return left, left < right
	case "<=":
		return left, left <= right
	}
	panic("BUG: no operator " + op)
}
