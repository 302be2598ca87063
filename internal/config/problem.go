package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gravity/internal/delivery"
)

// Problem is one thing that is wrong in a file, and where.
type Problem struct {
	File string `json:"file"`
	// Line and Column count from 1; the column counts characters, as editors do.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Key is the path of the key, such as pipelines[0].stages[1].strategy.
	Key string `json:"key,omitempty"`
	// Message is a sentence for people.
	Message string `json:"message"`
}

func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Problems is everything that is wrong in a file, in the order of its lines.
type Problems []Problem

// maxPrinted bounds Error, for a file that is no gravity.yaml at all.
const maxPrinted = 50

func (p Problems) Error() string {
	lines := make([]string, 0, maxPrinted+1)
	for _, problem := range p[:min(len(p), maxPrinted)] {
		lines = append(lines, problem.String())
	}
	if more := len(p) - maxPrinted; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the error its type: wrong input, which the same file will always be.
func (p Problems) Unwrap() error {
	return &delivery.Error{Type: delivery.InvalidInput, Message: p.Error()}
}

func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return p
}

// nearest finds the candidate that was probably meant, or "" when none is near.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", max(1, utf8.RuneCountInString(word)/3)+1
	if len(word) > 64 {
		return ""
	}
	for _, candidate := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance counts the letters to add, remove or replace, and the neighbours to swap, between two words.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	rows := make([][]int, len(from)+1)
	for i := range rows {
		rows[i] = make([]int, len(to)+1)
		rows[i][0] = i
		for j := range rows[i] {
			if i == 0 {
				rows[0][j] = j
				continue
			}
			if j == 0 {
				continue
			}
			replace := rows[i-1][j-1]
			if from[i-1] != to[j-1] {
				replace++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replace)
			if i > 1 && j > 1 && from[i-1] == to[j-2] && from[i-2] == to[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(from)][len(to)]
}

// clipped keeps a text from outside short enough for a message.
func clipped(text string) string {
	const most = 60
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most]) + "…"
}
