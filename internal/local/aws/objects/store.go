// Package objects is the stand-in's S3: gofakes3 speaks the protocol, and a folder keeps the
// objects. An object is written whole or not at all, and is there again after a restart.
package objects

import (
	"context"
	"crypto/md5" //nolint:gosec // S3's entity tag is an MD5 sum by definition.
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// ErrNotFound is returned by Open and Delete for an object or bucket that does not exist.
var ErrNotFound = errors.New("no such object")

// Store is a set of buckets in a folder.
type Store struct {
	root string
	now  func() time.Time

	mu      sync.RWMutex
	buckets map[string]*bucket
}

type bucket struct {
	created time.Time
	objects map[string]*object
}

// object is what is kept of one object beside its bytes, as JSON next to them.
type object struct {
	Key      string            `json:"key"`
	Size     int64             `json:"size"`
	MD5      string            `json:"md5"`
	Modified time.Time         `json:"modified"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Content  string            `json:"content"` // file name of the bytes, a new one with each write
}

// Open reads the folder, which is made when it is missing.
func Open(root string, now func() time.Time) (*Store, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for S3 objects: %w", err)
	}
	store := &Store{root: root, now: now, buckets: map[string]*bucket{}}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("read the folder of S3 objects: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := store.load(entry); err != nil {
			return nil, fmt.Errorf("read bucket %s: %w", entry.Name(), err)
		}
	}
	return store, nil
}

func (s *Store) load(entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	loaded := &bucket{created: info.ModTime(), objects: map[string]*object{}}
	names, err := filepath.Glob(filepath.Join(s.root, entry.Name(), "*.json"))
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var meta object
		if err := json.Unmarshal(data, &meta); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		loaded.objects[meta.Key] = &meta
	}
	s.buckets[entry.Name()] = loaded
	s.expireLocked(entry.Name())
	return nil
}

// Handler serves the S3 protocol, path style: /bucket/key.
func (s *Store) Handler(log *slog.Logger) http.Handler {
	return s.withLifecycle(gofakes3.New(&backend{s},
		gofakes3.WithTimeSkewLimit(0), // the signature check looks at the time
		gofakes3.WithLogger(logger{log}),
	).Server())
}

type logger struct{ log *slog.Logger }

func (l logger) Print(level gofakes3.LogLevel, v ...any) {
	severity := slog.LevelDebug
	if level == gofakes3.LogErr {
		severity = slog.LevelWarn
	}
	l.log.Log(context.Background(), severity, strings.TrimSpace(fmt.Sprintln(v...)), "service", "s3")
}

// EnsureBucket makes a bucket unless it is there.
func (s *Store) EnsureBucket(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] != nil {
		return nil
	}
	return s.createLocked(name)
}

func (s *Store) createLocked(name string) error {
	if err := os.MkdirAll(filepath.Join(s.root, name), 0o755); err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	s.buckets[name] = &bucket{created: s.now(), objects: map[string]*object{}}
	return nil
}

// Size is an object's length in bytes, or ErrNotFound.
func (s *Store) Size(bucketName, key string) (int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	meta := s.find(bucketName, key)
	if meta == nil {
		return 0, ErrNotFound
	}
	return meta.Size, nil
}

// Open opens an object's bytes for reading; the caller closes the file. An overwrite or deletion
// that comes later does not disturb the reader.
func (s *Store) Open(bucketName, key string) (*os.File, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	meta := s.find(bucketName, key)
	if meta == nil {
		return nil, ErrNotFound
	}
	return os.Open(filepath.Join(s.root, bucketName, meta.Content))
}

// Put writes an object into an existing bucket.
func (s *Store) Put(bucketName, key string, metadata map[string]string, content io.Reader) error {
	return s.put(bucketName, key, metadata, content, nil)
}

// Delete removes an object; ErrNotFound when there is none.
func (s *Store) Delete(bucketName, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(bucketName, key) == nil {
		return ErrNotFound
	}
	return s.deleteLocked(bucketName, key)
}

func (s *Store) deleteLocked(bucketName, key string) error {
	meta := s.find(bucketName, key)
	if meta == nil {
		return nil
	}
	if err := os.Remove(s.metaPath(bucketName, key)); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	delete(s.buckets[bucketName].objects, key)
	return os.Remove(filepath.Join(s.root, bucketName, meta.Content))
}

func (s *Store) find(bucketName, key string) *object {
	if found := s.buckets[bucketName]; found != nil {
		return found.objects[key]
	}
	return nil
}

func (s *Store) metaPath(bucketName, key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.root, bucketName, hex.EncodeToString(sum[:16])+".json")
}

// put writes the bytes beside the lock, and then, under it, checks the conditions and makes them
// the object's content.
func (s *Store) put(bucketName, key string, metadata map[string]string, content io.Reader, conditions *gofakes3.PutConditions) error {
	s.mu.RLock()
	exists := s.buckets[bucketName] != nil
	s.mu.RUnlock()
	if !exists {
		return gofakes3.BucketNotFound(bucketName) // before its name becomes part of a path
	}
	file, err := os.CreateTemp(filepath.Join(s.root, bucketName), "content-")
	if errors.Is(err, fs.ErrNotExist) {
		return gofakes3.BucketNotFound(bucketName)
	}
	if err != nil {
		return fmt.Errorf("write object: %w", err)
	}
	sum := md5.New() //nolint:gosec // see the import
	size, err := io.Copy(io.MultiWriter(file, sum), content)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("write object: %w", err)
	}
	written := &object{Key: key, Size: size, MD5: hex.EncodeToString(sum.Sum(nil)), Modified: s.now(),
		Metadata: metadata, Content: filepath.Base(file.Name())}

	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.replaceLocked(bucketName, written, conditions); err != nil {
		_ = os.Remove(file.Name())
		return err
	}
	return nil
}

func (s *Store) replaceLocked(bucketName string, written *object, conditions *gofakes3.PutConditions) error {
	if s.buckets[bucketName] == nil {
		return gofakes3.BucketNotFound(bucketName)
	}
	before := s.find(bucketName, written.Key)
	if conditions != nil {
		info := &gofakes3.ConditionalObjectInfo{Exists: before != nil}
		if before != nil {
			info.Hash, _ = hex.DecodeString(before.MD5)
		}
		if err := gofakes3.CheckPutConditions(conditions, info); err != nil {
			return err
		}
	}
	data, err := json.Marshal(written)
	if err != nil {
		return fmt.Errorf("write object: %w", err)
	}
	path := s.metaPath(bucketName, written.Key)
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return fmt.Errorf("write object: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write object: %w", err)
	}
	if before != nil {
		_ = os.Remove(filepath.Join(s.root, bucketName, before.Content)) // a leftover costs space and nothing else
	}
	s.buckets[bucketName].objects[written.Key] = written
	return nil
}
