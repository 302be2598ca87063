package delivery

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheOtherEnvironmentOfAPairHasANameThatBeanstalkTakes(t *testing.T) {
	require.Equal(t, "shop-green", Green("shop"))
	longest := strings.Repeat("a", maxEnvironmentName)
	require.Equal(t, longest[:34]+"-green", Green(longest))
	hyphen := strings.Repeat("b", 33) + "-" + "cccccc"
	require.Equal(t, strings.Repeat("b", 33)+"-green", Green(hyphen), "no two hyphens where it was cut")
}
