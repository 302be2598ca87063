package bundle

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"gravity/internal/delivery"
)

// maxPath is the longest path that still fits below /var/app/staging/ on an instance, in bytes.
const maxPath = 4096 - len("/var/app/staging/") - 1

// walker goes through a tree in a fixed order and hands its files to the pipeline. It reads through
// os.Root, so that not even a link that is swapped in meanwhile leads it out of the tree.
type walker struct {
	pipeline *pipeline
	root     *os.Root
	maxFiles int
	files    int
	// prefix is where the tree lies in its repository; rules see paths from the repository's top.
	prefix string
}

// walk takes in the tree. Above are the rules of the folders above it.
func (w *walker) walk(ctx context.Context, above rules) error {
	content, err := readIgnore(w.root, beanstalkIgnore, beanstalkIgnore)
	if err != nil {
		return err
	}
	ignored, perFolder := parseRules(content, w.prefix), content == nil
	if perFolder {
		ignored = above
	}
	if err := w.folder(ctx, w.root, "", ignored, perFolder); err != nil {
		return err
	}
	if w.files == 0 {
		return delivery.Errorf(delivery.BundleRejected,
			"bundle: no file is left to bundle: check the pipeline's path, and %s or %s", beanstalkIgnore, gitIgnore)
	}
	return nil
}

// folder takes in everything below one folder that the rules let pass.
func (w *walker) folder(ctx context.Context, folder *os.Root, at string, ignored rules, perFolder bool) error {
	if perFolder {
		content, err := readIgnore(folder, path.Join(at, gitIgnore), gitIgnore)
		if err != nil {
			return err
		}
		ignored = append(slices.Clip(ignored), parseRules(content, path.Join(w.prefix, at))...)
	}
	names, err := list(folder, at)
	if err != nil {
		return err
	}
	for _, entry := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := path.Join(at, entry.Name())
		if entry.Name() == ".git" || ignored.excludes(path.Join(w.prefix, name), entry.IsDir()) {
			continue
		}
		if err := w.entry(ctx, folder, name, entry, ignored, perFolder); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(ctx context.Context, folder *os.Root, name string, entry fs.DirEntry, ignored rules, perFolder bool) error {
	if err := checkName(name); err != nil {
		return err
	}
	if entry.IsDir() {
		below, err := folder.OpenRoot(entry.Name())
		if err != nil {
			return unreadable(name, err)
		}
		defer func() { _ = below.Close() }()
		return w.folder(ctx, below, name, ignored, perFolder)
	}
	if w.files++; w.files > w.maxFiles {
		return delivery.Errorf(delivery.BundleRejected,
			"bundle: more than %d files, %s is the first too many: list what the application does not need in %s",
			w.maxFiles, quote(name), beanstalkIgnore)
	}
	switch kind := entry.Type(); {
	case kind.IsRegular():
		return w.file(folder, name, entry.Name())
	case kind&fs.ModeSymlink != 0:
		return w.link(folder, name, entry.Name())
	default:
		return delivery.Errorf(delivery.BundleRejected,
			"bundle: %s is %s, which no bundle can hold: remove it, or list it in %s", quote(name), describe(kind), beanstalkIgnore)
	}
}

// list reads a folder in the order of names, whatever the order on disk.
func list(folder *os.Root, at string) ([]fs.DirEntry, error) {
	opened, err := folder.Open(".")
	if err != nil {
		return nil, unreadable(cmp.Or(at, "."), err)
	}
	defer func() { _ = opened.Close() }()
	entries, err := opened.ReadDir(-1)
	if err != nil {
		return nil, unreadable(cmp.Or(at, "."), err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (w *walker) file(folder *os.Root, name, base string) error {
	opened, err := folder.OpenFile(base, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return unreadable(name, err)
	}
	defer func() { _ = opened.Close() }()
	info, err := opened.Stat()
	if err != nil {
		return unreadable(name, err)
	}
	if !info.Mode().IsRegular() {
		return unreadable(name, errors.New("it changed while the tree was read"))
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	if err := w.pipeline.add(name, mode, opened); err != nil {
		return unreadable(name, err)
	}
	return nil
}

// link takes in a symbolic link as a link, if it cannot lead out of the tree.
func (w *walker) link(folder *os.Root, name, base string) error {
	target, err := folder.Readlink(base)
	if err != nil {
		return unreadable(name, err)
	}
	if reason := w.escapes(name, target); reason != "" {
		return delivery.Errorf(delivery.BundleRejected,
			"bundle: the symbolic link %s %s (%q): make it relative and keep it inside, replace it by what it points to, or list it in %s",
			quote(name), reason, target, beanstalkIgnore)
	}
	return w.pipeline.add(name, fs.ModeSymlink|0o777, strings.NewReader(target))
}

// escapes says why a link cannot stay, or nothing.
func (w *walker) escapes(name, target string) string {
	const outside = "leads out of the tree"
	if path.IsAbs(target) || strings.Contains(target, `\`) {
		return outside
	}
	if !utf8.ValidString(target) || hasControl(target) {
		return "has a target with characters that a bundle cannot hold"
	}
	if joined := path.Join(path.Dir(name), target); joined == ".." || strings.HasPrefix(joined, "../") {
		return outside
	}
	// Other links on the way count, too. os.Root follows them all and never leaves the tree.
	_, err := w.root.Stat(name)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, fs.ErrNotExist) && !climbsLate(target):
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return outside
	default:
		return "leads out of the tree or in a circle"
	}
}

// climbsLate reports whether a link's target goes up after it went down. Where such a link leads,
// when it leads nowhere today, is decided by what appears on the instance later.
func climbsLate(target string) bool {
	down := false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if down {
				return true
			}
		default:
			down = true
		}
	}
	return false
}

// checkName refuses names that a zip, or an instance that unpacks it, cannot hold.
func checkName(name string) error {
	reason := ""
	switch {
	case !utf8.ValidString(name):
		reason = "is not valid UTF-8"
	case hasControl(name):
		reason = "contains a control character"
	case strings.Contains(name, `\`):
		reason = "contains a backslash, which unzip takes for a folder"
	case len(name) > maxPath:
		reason = "is too long for an instance"
	default:
		return nil
	}
	return delivery.Errorf(delivery.BundleRejected, "bundle: the name %s %s: rename it, or list it in %s", quote(name), reason, beanstalkIgnore)
}

func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

func describe(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode.IsDir():
		return "a folder"
	default:
		return "not a plain file"
	}
}

// unreadable keeps errors that have a type, and cancellation, as they are.
func unreadable(name string, err error) error {
	if delivery.TypeOf(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return delivery.Errorf(delivery.BundleRejected, "bundle: %s cannot be read: %w", quote(name), err)
}
