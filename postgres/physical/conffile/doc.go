// Package conffile writes configuration files of PostgreSQL with what they include in the place of the lines that include it, so
// that a copy needs none of the original's places. It opens nothing itself: whoever calls reads for it.
package conffile
