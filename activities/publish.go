package activities

import (
	"context"
	"io"
	"time"

	"gravity/internal/bundle"
	"gravity/internal/delivery"
)

// BundleInput says what to bundle.
type BundleInput struct {
	Workspace Workspace `json:"workspace"`
}

// Bundled is the bundle's identity.
type Bundled struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Files  int    `json:"files"`
}

// Bundle finds out what the source bundle of the workspace is, and whether Beanstalk would take it. It keeps
// nothing: Upload makes the same bytes again on their way to S3, so that they never lie on the disk as well.
func (b *Build) Bundle(ctx context.Context, input BundleInput) (Bundled, error) {
	part, done, err := b.enter(input.Workspace)
	if err != nil {
		return Bundled{}, toTemporal(err)
	}
	defer done()
	defer b.keepAlive(ctx, nil)()
	manifest, err := bundle.WriteWith(ctx, part, io.Discard, bundleOptions(input.Workspace))
	return Bundled{Digest: manifest.Digest, Size: manifest.Size, Files: manifest.Files}, toTemporal(err)
}

// bundleOptions decide the bytes, so both passes have the same.
func bundleOptions(workspace Workspace) bundle.Options {
	return bundle.Options{
		// One time for all its files, and another one for each revision: caches compare times.
		Modified: workspace.Revision.CommittedAt,
		Within:   treeOf(workspace),
	}
}

// UploadInput is the version whose bundle is to be uploaded.
type UploadInput struct {
	Workspace Workspace        `json:"workspace"`
	Version   delivery.Version `json:"version"`
	// Provenance, if given, is kept beside the bundle.
	Provenance *Provenance `json:"provenance,omitempty"`
}

// Provenance is what a run knows of where a bundle comes from.
type Provenance struct {
	Pipeline   string    `json:"pipeline"`
	Repository string    `json:"repository"`
	Build      string    `json:"build,omitempty"`
	Test       string    `json:"test,omitempty"`
	Run        string    `json:"run"`
	Started    time.Time `json:"started"`
}

// Upload puts the bundle into S3 under a key that the version's label determines, and completes the
// version with its place. Uploading twice finds the first.
func (b *Build) Upload(ctx context.Context, input UploadInput) (delivery.Version, error) {
	version := input.Version
	part, done, err := b.enter(input.Workspace)
	if err != nil {
		return version, toTemporal(err)
	}
	defer done()
	defer b.keepAlive(ctx, nil)()
	if version.Bucket, err = b.bucketFor(ctx, version.Bucket); err != nil {
		return version, toTemporal(err)
	}
	version.Key = "gravity/" + version.Application + "/" + version.Label + ".zip"
	err = b.Store.Put(ctx, version.Bucket, version.Key, version.Digest, func() (io.ReadCloser, error) {
		return bundle.Stream(ctx, part, bundleOptions(input.Workspace)), nil
	})
	if err == nil && input.Provenance != nil {
		err = b.putProvenance(ctx, input, version)
	}
	return version, toTemporal(err)
}

func (b *Build) putProvenance(ctx context.Context, input UploadInput, version delivery.Version) error {
	given := *input.Provenance
	statement, err := bundle.Provenance{
		Bundle: version.Key, Manifest: bundle.Manifest{Digest: version.Digest, Size: version.Size},
		Pipeline: given.Pipeline, Repository: given.Repository, Path: input.Workspace.Path, Build: given.Build, Test: given.Test,
		Revision: input.Workspace.Revision, Builder: b.Builder, BuilderVersion: b.BuilderVersion,
		Run: given.Run, Started: given.Started, Finished: time.Now(),
	}.Statement()
	if err != nil {
		return err
	}
	return b.Store.PutProvenance(ctx, version.Bucket, version.Key, statement)
}
