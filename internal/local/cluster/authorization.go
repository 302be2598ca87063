package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// authority signs what clients may do. Its private key is in this process alone, so that every start has another one;
// the server reads the public one from a file.
type authority struct {
	file string // a JSON Web Key Set (RFC 7517)
	key  *ecdsa.PrivateKey
}

// keyID is what tokens call the key that signed them.
const keyID = "cluster"

func newAuthority(file string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key that signs tokens: %w", err)
	}
	point, err := key.PublicKey.Bytes() // 4, and both coordinates
	if err != nil {
		return nil, fmt.Errorf("encode the key that signs tokens: %w", err)
	}
	coordinate := base64.RawURLEncoding.EncodeToString
	content, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "alg": jwt.SigningMethodES256.Name, "use": "sig", "kid": keyID,
		"x": coordinate(point[1:33]), "y": coordinate(point[33:]),
	}}})
	if err == nil {
		err = os.WriteFile(file, content, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("write the key that tokens are checked by: %w", err)
	}
	return &authority{file, key}, nil
}

// settings are those of the default authorizer (https://docs.temporal.io/self-hosted-guide/security).
func (a *authority) settings() map[string]any {
	return map[string]any{
		"authorizer": "default", "claimMapper": "default", "permissionsClaimName": "permissions",
		"jwtKeyProvider": map[string]any{
			"keySourceURIs": []string{(&url.URL{Scheme: "file", Path: a.file}).String()}, "refreshInterval": "1m",
		},
	}
}

func (a *authority) token(expires time.Time, permissions ...string) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"sub": "gravity's test", "exp": jwt.NewNumericDate(expires), "permissions": permissions,
	})
	token.Header["kid"] = keyID
	signed, err := token.SignedString(a.key)
	if err != nil {
		return "", fmt.Errorf("sign a token for %q: %w", permissions, err)
	}
	return signed, nil
}

// Token is a key for whoever may do what the permissions say, such as "deliveries:write", until it expires. It takes
// Options.Authorization.
func (c *Cluster) Token(expires time.Time, permissions ...string) (string, error) {
	if c.temporal.authority == nil {
		return "", errors.New("this cluster asks nobody for a token: start it with Authorization")
	}
	return c.temporal.authority.token(expires, permissions...)
}

// everything is what the cluster itself may do: administer all namespaces. Temporal's default claim mapper knows the
// server as a whole by the name of its own namespace.
const everything = "temporal-system:admin"
