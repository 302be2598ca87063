package main

import "context"

func measurePushes(context.Context, int) ([]measure, error) { return nil, nil }
