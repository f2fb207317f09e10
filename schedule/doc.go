// Package schedule says when something is due: a crontab line in a time zone. It is pure: it knows no clock, and starts nothing.
//
// A time of day is due once on each day. A day that has no such time, since clocks went forward over it, has it at the moment of the
// change; a day that has it twice has it the first time (America/Sao_Paulo had no 00:00 on 2018-11-04 and 23:00 twice on 2019-02-16).
// What is due in every hour goes by the time that passes, and is due in both of two equal hours. Debian's cron does the same.
package schedule
