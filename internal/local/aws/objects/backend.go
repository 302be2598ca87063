package objects

import (
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/johannesboyne/gofakes3"
)

// backend is the store as gofakes3 wants to see it.
type backend struct{ *Store }

var _ gofakes3.Backend = (*backend)(nil)

func (b *backend) ListBuckets() ([]gofakes3.BucketInfo, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var list []gofakes3.BucketInfo
	for name, found := range b.buckets {
		list = append(list, gofakes3.BucketInfo{Name: name, CreationDate: gofakes3.NewContentTime(found.created)})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

func (b *backend) ListBucket(name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	found := b.buckets[name]
	if found == nil {
		return nil, gofakes3.BucketNotFound(name)
	}
	keys := make([]string, 0, len(found.objects))
	for key := range found.objects {
		keys = append(keys, key)
	}
	sort.Strings(keys)

	list := gofakes3.NewObjectList()
	var match gofakes3.PrefixMatch
	var count int64
	lastPrefix := ""
	for _, key := range keys {
		if key <= page.Marker && page.Marker != "" || !prefix.Match(key, &match) {
			continue
		}
		if match.CommonPrefix && (match.MatchedPart == lastPrefix || strings.HasPrefix(page.Marker, match.MatchedPart)) {
			continue
		}
		if page.MaxKeys > 0 && count >= page.MaxKeys {
			list.IsTruncated = true
			break
		}
		count++
		list.NextMarker = key
		if match.CommonPrefix {
			lastPrefix = match.MatchedPart
			list.AddPrefix(match.MatchedPart)
			continue
		}
		list.Add(found.objects[key].listed())
	}
	return list, nil
}

func (o *object) listed() *gofakes3.Content {
	return &gofakes3.Content{Key: o.Key, LastModified: gofakes3.NewContentTime(o.Modified),
		ETag: `"` + o.MD5 + `"`, Size: o.Size, StorageClass: gofakes3.StorageStandard}
}

func (b *backend) CreateBucket(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buckets[name] != nil {
		return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, name)
	}
	return b.createLocked(name)
}

func (b *backend) BucketExists(name string) (bool, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.buckets[name] != nil, nil
}

func (b *backend) DeleteBucket(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch found := b.buckets[name]; {
	case found == nil:
		return gofakes3.BucketNotFound(name)
	case len(found.objects) > 0:
		return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
	}
	return b.removeLocked(name)
}

func (b *backend) ForceDeleteBucket(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buckets[name] == nil {
		return gofakes3.BucketNotFound(name)
	}
	return b.removeLocked(name)
}

func (b *backend) removeLocked(name string) error {
	delete(b.buckets, name)
	return os.RemoveAll(filepath.Join(b.root, name))
}

func (b *backend) HeadObject(bucketName, key string) (*gofakes3.Object, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	meta, err := b.lookup(bucketName, key)
	if err != nil {
		return nil, err
	}
	return meta.described(io.NopCloser(strings.NewReader("")), nil), nil
}

func (b *backend) GetObject(bucketName, key string, wanted *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	meta, err := b.lookup(bucketName, key)
	if err != nil {
		return nil, err
	}
	part, err := wanted.Range(meta.Size)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(b.root, bucketName, meta.Content))
	if err != nil {
		return nil, err
	}
	if part == nil {
		return meta.described(file, nil), nil
	}
	section := io.NewSectionReader(file, part.Start, part.Length)
	return meta.described(struct {
		io.Reader
		io.Closer
	}{section, file}, part), nil
}

func (b *backend) lookup(bucketName, key string) (*object, error) {
	if b.buckets[bucketName] == nil {
		return nil, gofakes3.BucketNotFound(bucketName)
	}
	meta := b.find(bucketName, key)
	if meta == nil {
		return nil, gofakes3.KeyNotFound(key)
	}
	return meta, nil
}

func (o *object) described(content io.ReadCloser, part *gofakes3.ObjectRange) *gofakes3.Object {
	hash, _ := hex.DecodeString(o.MD5) // written by us, always hexadecimal
	metadata := make(map[string]string, len(o.Metadata))
	for name, value := range o.Metadata {
		metadata[name] = value
	}
	return &gofakes3.Object{Name: o.Key, Metadata: metadata, Size: o.Size, Contents: content, Hash: hash, Range: part}
}

func (b *backend) PutObject(bucketName, key string, metadata map[string]string, input io.Reader, _ int64, conditions *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	if err := gofakes3.MergeMetadata(b, bucketName, key, metadata); err != nil {
		return gofakes3.PutObjectResult{}, err
	}
	return gofakes3.PutObjectResult{}, b.put(bucketName, key, metadata, input, conditions)
}

func (b *backend) DeleteObject(bucketName, key string) (gofakes3.ObjectDeleteResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buckets[bucketName] == nil {
		return gofakes3.ObjectDeleteResult{}, gofakes3.BucketNotFound(bucketName)
	}
	return gofakes3.ObjectDeleteResult{}, b.deleteLocked(bucketName, key)
}

func (b *backend) DeleteMulti(bucketName string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	var result gofakes3.MultiDeleteResult
	for _, key := range keys {
		if _, err := b.DeleteObject(bucketName, key); err != nil {
			failed := gofakes3.ErrorResultFromError(err)
			failed.Key = key
			result.Error = append(result.Error, failed)
			continue
		}
		result.Deleted = append(result.Deleted, gofakes3.ObjectID{Key: key})
	}
	return result, nil
}

func (b *backend) CopyObject(fromBucket, fromKey, toBucket, toKey string, metadata map[string]string) (gofakes3.CopyObjectResult, error) {
	return gofakes3.CopyObject(b, fromBucket, fromKey, toBucket, toKey, metadata)
}
