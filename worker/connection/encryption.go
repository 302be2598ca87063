package connection

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"regexp"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"gravity/internal/delivery"
)

// Encryption is a payload codec: what workflows store is encrypted before it leaves this process, with
// AES-256-GCM and keys that Temporal never sees. What was stored in the clear stays readable, so that it
// can be switched on while workflows run.
//
// See https://docs.temporal.io/production-deployment/data-encryption.
type Encryption struct {
	current string
	keys    map[string]cipher.AEAD
}

const (
	encodingEncrypted = "binary/encrypted"
	metadataKey       = "gravity-key"
)

// maxKeys bounds a file of keys. A hundred rotations are many years.
const maxKeys = 100

var keyName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// LoadEncryption reads a file of keys: on each line a name and 32 random bytes in base64, as in
//
//	2026-11 kZ0m…=
//
// The first key encrypts, and all of them decrypt: a new key is put above the old ones, which stay for
// as long as anything is kept that they encrypted. Its errors are of type InvalidInput, and never hold a key.
func LoadEncryption(path string) (*Encryption, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "reading the encryption keys: %w", err)
	}
	defer func() { _ = file.Close() }()
	e := &Encryption{keys: map[string]cipher.AEAD{}}
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := e.add(line); err != nil {
			return nil, delivery.Errorf(delivery.InvalidInput, "%s, line %d: %w", path, number, err)
		}
		if len(e.keys) > maxKeys {
			return nil, delivery.Errorf(delivery.InvalidInput, "%s has more than %d keys", path, maxKeys)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "reading the encryption keys: %w", err)
	}
	if e.current == "" {
		return nil, delivery.Errorf(delivery.InvalidInput, `%s has no key; make one with: echo "$(date +%%Y-%%m) $(openssl rand -base64 32)" > %s`, path, path)
	}
	return e, nil
}

func (e *Encryption) add(line string) error {
	name, encoded, _ := strings.Cut(line, " ")
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	switch {
	case !keyName.MatchString(name):
		return fmt.Errorf("a key's name is 1 to 64 of A-Z, a-z, 0-9, . _ and -")
	case err != nil || len(key) != 32:
		return fmt.Errorf("key %s is not 32 bytes in base64; openssl rand -base64 32 makes some", name)
	case e.keys[name] != nil:
		return fmt.Errorf("key %s is there twice", name)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("key %s cannot be used", name)
	}
	sealing, err := cipher.NewGCM(block)
	if err != nil {
		return fmt.Errorf("key %s cannot be used", name)
	}
	if e.current == "" {
		e.current = name
	}
	e.keys[name] = sealing
	return nil
}

// Encode encrypts payloads with the current key. It implements converter.PayloadCodec.
func (e *Encryption) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	encrypted := make([]*commonpb.Payload, len(payloads))
	for i, payload := range payloads {
		plain, err := proto.Marshal(payload)
		if err != nil {
			return nil, fmt.Errorf("encrypting a payload: %w", err)
		}
		sealing := e.keys[e.current]
		nonce := make([]byte, sealing.NonceSize(), sealing.NonceSize()+len(plain)+sealing.Overhead())
		_, _ = rand.Read(nonce) // it never fails
		encrypted[i] = &commonpb.Payload{
			Metadata: map[string][]byte{
				converter.MetadataEncoding: []byte(encodingEncrypted), metadataKey: []byte(e.current),
			},
			Data: sealing.Seal(nonce, nonce, plain, []byte(e.current)),
		}
	}
	return encrypted, nil
}

// Decode decrypts what Encode encrypted, with whichever key that was. It implements converter.PayloadCodec.
func (e *Encryption) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	plain := make([]*commonpb.Payload, len(payloads))
	for i, payload := range payloads {
		if string(payload.GetMetadata()[converter.MetadataEncoding]) != encodingEncrypted {
			plain[i] = payload // stored before encryption was switched on
			continue
		}
		name := string(payload.GetMetadata()[metadataKey])
		sealing := e.keys[name]
		if sealing == nil {
			return nil, fmt.Errorf("a payload was encrypted with key %q, which this process does not have; put it back below the current one", delivery.Clip(name, 64))
		}
		if len(payload.GetData()) < sealing.NonceSize() {
			return nil, fmt.Errorf("a payload encrypted with key %q is cut short", name)
		}
		nonce, sealed := payload.GetData()[:sealing.NonceSize()], payload.GetData()[sealing.NonceSize():]
		opened, err := sealing.Open(nil, nonce, sealed, []byte(name))
		if err != nil {
			return nil, fmt.Errorf("a payload encrypted with key %q was changed, or the key is another one of that name", name)
		}
		plain[i] = &commonpb.Payload{}
		if err := proto.Unmarshal(opened, plain[i]); err != nil {
			return nil, fmt.Errorf("reading a decrypted payload: %w", err)
		}
	}
	return plain, nil
}

// encrypt makes a client that encrypts what it stores: inputs, results, heartbeats, memos, and the messages and
// stacks of failures. What Temporal has to search and show stays in the clear: workflow IDs, search
// attributes, summaries and details.
func (e *Encryption) encrypt(options *client.Options) {
	options.DataConverter = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), e)
	options.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter: options.DataConverter, EncodeCommonAttributes: true,
	})
}
