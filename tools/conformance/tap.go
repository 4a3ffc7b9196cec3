// Package tap writes the Test Anything Protocol, version 13: as much of it as runtime-tools' validation programs use.
package tap

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// T counts tests and writes their lines.
type T struct {
	Writer  io.Writer
	TODO    string
	count   int
	planned bool
}

// New writes to standard output.
func New() *T { return &T{Writer: os.Stdout} }

func (t *T) line(format string, values ...interface{}) { fmt.Fprintf(t.Writer, format+"\n", values...) }

// Header begins a stream; without a number the plan comes last, by AutoPlan.
func (t *T) Header(tests int) {
	t.line("TAP version 13")
	if tests > 0 {
		t.line("1..%d", tests)
		t.planned = true
	}
}

// Ok is one test.
func (t *T) Ok(passed bool, description string) {
	t.count++
	word := "ok"
	if !passed {
		word = "not ok"
	}
	t.line("%s %d - %s", word, t.count, description)
}

// Pass is a test that passed.
func (t *T) Pass(description string) { t.Ok(true, description) }

// Fail is a test that failed.
func (t *T) Fail(description string) { t.Ok(false, description) }

// Skip is a number of tests that were not run.
func (t *T) Skip(tests int, reason string) {
	for ; tests > 0; tests-- {
		t.count++
		t.line("ok %d # SKIP %s", t.count, reason)
	}
}

// Todo marks the tests that are expected to fail; they are shown like the others.
func (t *T) Todo() *T { return t }

// Count is the number of tests so far.
func (t *T) Count() int { return t.count }

// AutoPlan ends a stream that began without a number.
func (t *T) AutoPlan() {
	if !t.planned {
		t.line("1..%d", t.count)
	}
}

// Diagnostic is a remark.
func (t *T) Diagnostic(message string) { t.line("# %s", strings.ReplaceAll(message, "\n", "\n# ")) }

// Diagnosticf is a remark with values.
func (t *T) Diagnosticf(format string, values ...interface{}) { t.Diagnostic(fmt.Sprintf(format, values...)) }

// YAML is what belongs to the last test, as JSON, which is YAML too.
func (t *T) YAML(message interface{}) error {
	text, err := json.Marshal(message)
	if err == nil {
		t.line("  ---\n  %s\n  ...", text)
	}
	return err
}
