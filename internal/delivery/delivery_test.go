package delivery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhoeverHadAHandInARevisionIsFoundByLoginOrAddress(t *testing.T) {
	revision := Revision{Author: "Ana Lund", People: []string{"ana@example.com", "1234+ben@users.noreply.github.com", "Cleo"}}
	for _, login := range []string{"ana", "ANA", "ana@example.com", "ana lund", "ben", "cleo"} {
		require.True(t, revision.Involves(login), login)
	}
	for _, login := range []string{"dora", "an", "1234+ben"} {
		require.False(t, revision.Involves(login), login)
	}
	require.False(t, Revision{}.Involves("ana"), "nobody is known")
}

func TestPeopleAreListedOnceAndBounded(t *testing.T) {
	require.Equal(t, []string{"ana", "ben@example.com"}, People("ana", "", " ANA ", "ben@example.com"))
	require.Nil(t, People("", " "))
	require.Len(t, People("1", "2", "3", "4", "5", "6", "7", "8", "9", "10"), 8)
}
