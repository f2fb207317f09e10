package repository_test

func captureForEver() {}
