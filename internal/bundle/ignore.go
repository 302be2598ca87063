package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"gravity/internal/delivery"
)

// The files that say what stays out of a bundle. A tree whose root has an .ebignore is ruled by it
// alone, as the Elastic Beanstalk command line does it; otherwise every .gitignore counts for its folder.
const (
	beanstalkIgnore = ".ebignore"
	gitIgnore       = ".gitignore"
)

// maxIgnoreSize bounds an ignore file, in bytes.
const maxIgnoreSize = 1 << 20

// rule is one line of an ignore file, in git's grammar.
type rule struct {
	// folder that holds the ignore file, "" for the root.
	folder string
	// pattern relative to folder, in doublestar's grammar.
	pattern  string
	negated  bool
	dirsOnly bool
}

// rules are in order: the last one that matches decides.
type rules []rule

// excludes reports whether a path stays out. A folder that stays out is never entered, so that
// nothing below it can be taken in again: git's rule, too.
func (r rules) excludes(path string, isDir bool) bool {
	for i := len(r) - 1; i >= 0; i-- {
		if r[i].matches(path, isDir) {
			return !r[i].negated
		}
	}
	return false
}

func (r rule) matches(path string, isDir bool) bool {
	if r.dirsOnly && !isDir {
		return false
	}
	if r.folder != "" {
		below, inside := strings.CutPrefix(path, r.folder+"/")
		if !inside {
			return false
		}
		path = below
	}
	matched, err := doublestar.Match(r.pattern, bytewise(path))
	return err == nil && matched
}

// parseRules reads the lines of an ignore file that lies in folder.
func parseRules(content []byte, folder string) rules {
	content = bytes.TrimPrefix(content, []byte("\xEF\xBB\xBF"))
	var parsed rules
	for line := range strings.SplitSeq(string(content), "\n") {
		if r, ok := parseRule(strings.TrimSuffix(line, "\r")); ok {
			r.folder = folder
			parsed = append(parsed, r)
		}
	}
	return parsed
}

func parseRule(line string) (rule, bool) {
	var r rule
	line = trimTrailingSpaces(line)
	if line == "" || line[0] == '#' {
		return r, false
	}
	line, r.negated = strings.CutPrefix(line, "!")
	line, r.dirsOnly = strings.CutSuffix(line, "/")
	// A slash at the beginning or in the middle ties the pattern to the folder of the ignore file.
	anchored := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return r, false
	}
	if line == "**" {
		line = "*"
	}
	// "folder/**" is everything inside, and not the folder; doublestar's ** may match nothing.
	if inside, ok := strings.CutSuffix(line, "/**"); ok {
		line = inside + "/**/*"
	}
	if !anchored {
		line = "**/" + line
	}
	r.pattern = bytewise(translate(line))
	return r, true
}

// translate writes git's pattern in doublestar's grammar, where braces are alternatives, a bracket
// cannot begin a class, and classes have no names.
func translate(pattern string) string {
	var out strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '\\':
			out.WriteByte(c)
			if i++; i < len(pattern) {
				out.WriteByte(pattern[i])
			}
		case '{', '}':
			out.WriteString(`\` + string(c))
		case '[':
			class, length := translateClass(pattern[i:])
			out.WriteString(class)
			i += length - 1
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

var namedClasses = strings.NewReplacer(
	"[:alpha:]", "A-Za-z", "[:digit:]", "0-9", "[:alnum:]", "A-Za-z0-9", "[:upper:]", "A-Z", "[:lower:]", "a-z",
	"[:xdigit:]", "0-9A-Fa-f", "[:space:]", " \t\r\n\v\f", "[:blank:]", " \t", "[:punct:]", `!-.:-@\[-`+"`{-~")

// translateClass writes one [class] and says how long it was. A class without an end matches nothing.
func translateClass(pattern string) (class string, length int) {
	begin := 1
	if begin < len(pattern) && (pattern[begin] == '!' || pattern[begin] == '^') {
		begin++
	}
	for i := begin; i < len(pattern); i++ {
		switch {
		case pattern[i] == '\\':
			i++
		case strings.HasPrefix(pattern[i:], "[:"):
			if end := strings.Index(pattern[i:], ":]"); end > 0 {
				i += end + 1
			}
		case pattern[i] == ']' && i > begin:
			inside := namedClasses.Replace(pattern[begin:i])
			if inside[0] == ']' {
				inside = `\` + inside
			}
			return pattern[:begin] + inside + "]", i + 1
		}
	}
	return pattern, len(pattern)
}

// bytewise makes every byte a character: that is how git compares names that are not ASCII.
func bytewise(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return text
	}
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	return string(runes)
}

// trimTrailingSpaces keeps the spaces that a backslash protects.
func trimTrailingSpaces(line string) string {
	trimmed := strings.TrimRight(line, " ")
	if len(trimmed) == len(line) {
		return line
	}
	backslashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	if backslashes%2 == 1 {
		return trimmed + " "
	}
	return trimmed
}

// readIgnore reads an ignore file of a folder, and answers with nothing when there is none.
func readIgnore(folder *os.Root, path, name string) ([]byte, error) {
	// A link might lead to a file that the bundle's maker did not mean; git refuses links here as well.
	info, err := folder.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, delivery.Errorf(delivery.BundleRejected, "bundle: %s is %s: ignore files must be plain files", quote(path), describe(info.Mode()))
	}
	file, err := folder.Open(name)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxIgnoreSize+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	if len(content) > maxIgnoreSize {
		return nil, delivery.Errorf(delivery.BundleRejected, "bundle: %s is larger than %d bytes: shorten it", quote(path), maxIgnoreSize)
	}
	if content == nil {
		content = []byte{}
	}
	return content, nil
}

func quote(path string) string { return fmt.Sprintf("%q", path) }
