//go:build !unix

package bundle

const nonBlocking = 0
