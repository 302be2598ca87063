package connection

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"gravity/internal/delivery"
)

// line is a key of the same byte throughout.
func line(name string, fill byte) string {
	return name + " " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, 32)) + "\n"
}

func loaded(t *testing.T, text string) *Encryption {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	encryption, err := LoadEncryption(path)
	require.NoError(t, err)
	return encryption
}

func TestWhatIsStoredCannotBeReadWithoutTheKey(t *testing.T) {
	encryption := loaded(t, line("2026-11", 1))
	var options client.Options
	encryption.encrypt(&options)
	payload, err := options.DataConverter.ToPayload("the price list")
	require.NoError(t, err)
	require.NotContains(t, payload.String(), "price")
	again, err := options.DataConverter.ToPayload("the price list")
	require.NoError(t, err)
	require.NotEqual(t, payload.Data, again.Data, "the same text never looks the same twice")

	var text string
	require.NoError(t, options.DataConverter.FromPayload(payload, &text))
	require.Equal(t, "the price list", text)

	failure := options.FailureConverter.ErrorToFailure(delivery.Errorf(delivery.TestsFailed, "the price list"))
	require.NotContains(t, failure.String(), "price")
	require.ErrorContains(t, options.FailureConverter.FailureToError(failure), "the price list")
}

func TestARotatedKeyStillDecryptsAndANewOneEncrypts(t *testing.T) {
	old := loaded(t, line("old", 1))
	stored, err := old.Encode([]*commonpb.Payload{{Data: []byte("stored long ago")}})
	require.NoError(t, err)

	rotated := loaded(t, "# the newest first\n\n"+line("new", 2)+line("old", 1))
	plain, err := rotated.Decode(stored)
	require.NoError(t, err)
	require.Equal(t, "stored long ago", string(plain[0].Data))
	fresh, err := rotated.Encode(plain)
	require.NoError(t, err)
	require.Equal(t, "new", string(fresh[0].Metadata[metadataKey]))

	_, err = old.Decode(fresh)
	require.ErrorContains(t, err, `key "new", which this process does not have`)
}

func TestWhatWasStoredInTheClearStaysReadable(t *testing.T) {
	payload, err := converter.GetDefaultDataConverter().ToPayload("in the clear")
	require.NoError(t, err)
	plain, err := loaded(t, line("k", 1)).Decode([]*commonpb.Payload{payload})
	require.NoError(t, err)
	require.Equal(t, payload, plain[0])
}

func TestAPayloadThatWasChangedIsRefused(t *testing.T) {
	encryption := loaded(t, line("k", 1)+line("other", 2))
	encode := func() *commonpb.Payload {
		stored, err := encryption.Encode([]*commonpb.Payload{{Data: []byte("text")}})
		require.NoError(t, err)
		return stored[0]
	}
	flipped, renamed, short := encode(), encode(), encode()
	flipped.Data[20] ^= 1
	renamed.Metadata[metadataKey] = []byte("other")
	short.Data = short.Data[:3]
	for name, payload := range map[string]*commonpb.Payload{"a bit flipped": flipped, "another key's name": renamed, "cut short": short} {
		_, err := encryption.Decode([]*commonpb.Payload{payload})
		require.Error(t, err, name)
	}
}

func TestAWrongFileOfKeysIsExplainedWithoutShowingAKey(t *testing.T) {
	const secret = "c2VjcmV0c2VjcmV0c2VjcmV0"
	for text, complaint := range map[string]string{
		"":                                  "has no key; make one with",
		"k " + secret + "\n":                "line 1: key k is not 32 bytes in base64",
		line("k", 1) + line("k", 2):         "line 2: key k is there twice",
		"two words " + secret + "\n":        "line 1",
		"bad/name " + secret + "\n":         "a key's name is",
		strings.Repeat("x", 100<<10) + "\n": "reading the encryption keys",
	} {
		path := filepath.Join(t.TempDir(), "keys")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := LoadEncryption(path)
		require.ErrorContains(t, err, complaint)
		require.NotContains(t, err.Error(), secret)
		require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
	}
	_, err := LoadEncryption(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
