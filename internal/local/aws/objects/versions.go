package objects

import (
	"github.com/johannesboyne/gofakes3"
)

// Buckets keep no old versions here. As in every such bucket of S3, the one version that an object has is called
// null, so that whoever empties a bucket version by version finds what there is.
const onlyVersion gofakes3.VersionID = "null"

var _ gofakes3.VersionedBackend = (*backend)(nil)

func (b *backend) VersioningConfiguration(name string) (gofakes3.VersioningConfiguration, error) {
	exists, err := b.BucketExists(name)
	if err == nil && !exists {
		err = gofakes3.BucketNotFound(name)
	}
	return gofakes3.VersioningConfiguration{}, err
}

func (b *backend) SetVersioningConfiguration(string, gofakes3.VersioningConfiguration) error {
	return gofakes3.ErrNotImplemented
}

func (b *backend) GetObjectVersion(bucketName, key string, version gofakes3.VersionID, wanted *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	if version != onlyVersion {
		return nil, gofakes3.ErrNoSuchVersion
	}
	return b.GetObject(bucketName, key, wanted)
}

func (b *backend) HeadObjectVersion(bucketName, key string, version gofakes3.VersionID) (*gofakes3.Object, error) {
	if version != onlyVersion {
		return nil, gofakes3.ErrNoSuchVersion
	}
	return b.HeadObject(bucketName, key)
}

func (b *backend) DeleteObjectVersion(bucketName, key string, version gofakes3.VersionID) (gofakes3.ObjectDeleteResult, error) {
	if version != onlyVersion {
		return gofakes3.ObjectDeleteResult{}, gofakes3.ErrNoSuchVersion
	}
	return b.DeleteObject(bucketName, key)
}

func (b *backend) DeleteMultiVersions(bucketName string, objects ...gofakes3.ObjectID) (gofakes3.MultiDeleteResult, error) {
	keys := make([]string, len(objects))
	for i, object := range objects {
		keys[i] = object.Key
	}
	return b.DeleteMulti(bucketName, keys...)
}

func (b *backend) ListBucketVersions(name string, prefix *gofakes3.Prefix, page *gofakes3.ListBucketVersionsPage) (*gofakes3.ListBucketVersionsResult, error) {
	listed, err := b.ListBucket(name, prefix, gofakes3.ListBucketPage{Marker: page.KeyMarker, MaxKeys: page.MaxKeys})
	if err != nil {
		return nil, err
	}
	result := gofakes3.NewListBucketVersionsResult(name, prefix, page)
	for _, object := range listed.Contents {
		result.Versions = append(result.Versions, &gofakes3.Version{Key: object.Key, VersionID: onlyVersion, IsLatest: true,
			LastModified: object.LastModified, Size: object.Size, StorageClass: object.StorageClass, ETag: object.ETag})
	}
	result.CommonPrefixes = listed.CommonPrefixes
	if result.IsTruncated = listed.IsTruncated; result.IsTruncated {
		result.NextKeyMarker, result.NextVersionIDMarker = listed.NextMarker, onlyVersion
	}
	return result, nil
}
