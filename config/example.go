package config

import _ "embed"

// Example is a commented cofre.yaml with every key, for cofre init --write-config. It loads as it is.
func Example() string { return example }

//go:embed example.yml
var example string
