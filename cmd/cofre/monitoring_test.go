package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre/alerts"
	"github.com/trustlayer/cofre/internal/testkit"
)

// prometheus is a real one, which scrapes an agent each second and goes by the rules of this product. What a rule waits for is shortened to two seconds:
// promtool tries the real time.
type prometheus struct{ url string }

func startPrometheus(t *testing.T, agent string) *prometheus {
	t.Helper()
	program, dir := testkit.Prometheus(t, "prometheus"), t.TempDir()
	rules := alerts.Rules()
	for i := range rules {
		rules[i].For = min(rules[i].For, 2*time.Second)
	}
	for name, text := range map[string]string{
		"rules.yml": alerts.Prometheus(rules),
		"prometheus.yml": fmt.Sprintf(`global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs: [{job_name: cofre, static_configs: [{targets: [%q]}]}]
`, agent),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// Its port is its own choice, and in its log.
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = log, log
	if err := testkit.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	listening := regexp.MustCompile(`address=(127\.0\.0\.1:[1-9]\d*)`)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		text, _ := os.ReadFile(log.Name())
		if m := listening.FindSubmatch(text); m != nil {
			return &prometheus{"http://" + string(m[1])}
		}
		if time.Now().After(end) {
			t.Fatalf("Prometheus does not listen:\n%s", text)
		}
	}
}

// firing are the alerts that fire, without the one that always does.
func (p *prometheus) firing(t *testing.T) []string {
	t.Helper()
	var said struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	if text := page(t, p.url+"/api/v1/alerts"); text != "" {
		if err := json.Unmarshal([]byte(text), &said); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	var all []string
	for _, a := range said.Data.Alerts {
		if a.State == "firing" && a.Labels["alertname"] != "CofreWatchdog" {
			all = append(all, strings.TrimSpace(a.Labels["alertname"]+" "+a.Labels["kind"]))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// value is the first of an expression; "" if it has none.
func (p *prometheus) value(t *testing.T, expr string) string {
	t.Helper()
	var said struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if text := page(t, p.url+"/api/v1/query?query="+expr); text == "" || json.Unmarshal([]byte(text), &said) != nil || len(said.Data.Result) == 0 {
		return ""
	}
	return fmt.Sprint(said.Data.Result[0].Value[1])
}

// page is what an address answers; "" if it does not answer yet.
func page(t *testing.T, url string) string {
	t.Helper()
	r, err := (&http.Client{Timeout: 30 * time.Second}).Get(url)
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

// A real Prometheus scrapes a real agent: nothing fires while all is well, and each fault fires its rule and no other.
func TestAlertsOfARealPrometheus(t *testing.T) {
	testkit.Prometheus(t, "prometheus") // or the test is skipped before a server is started
	i := newInstallation(t)
	if err := os.Mkdir(filepath.Join(i.dir, "files"), 0o755); err != nil {
		t.Fatal(err)
	}
	i.write(t, filepath.Join("files", "a"), "text")
	config := fmt.Sprintf(`name: tl
repository: {url: repo, password: file:password}
database: {url: %q, schedule: "0 2 * * *"}
config: {paths: [files], cofre: false}
verify: {window: 7d}
objectives: {rpo: 25h, rto: 4h}
serve: {expire: never, prune: never, verify: never}
state_dir: state
`, i.server.URL(i.db))
	i.write(t, "cofre.yaml", config)
	i.text(t, "backup")
	begin := func(t *testing.T) (agent *serving, p *prometheus, scrape string) {
		t.Helper()
		agent = i.serve(t, "--for", "10m")
		agent.until(t, func() bool { return strings.Contains(agent.log(), "listening") })
		address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(agent.log())
		agent.until(t, func() bool {
			scrape = page(t, "http://"+address+"/metrics")
			return strings.Contains(scrape, "cofre_status_known 1") && strings.Contains(scrape, "cofre_next_due")
		})
		return agent, startPrometheus(t, address), scrape
	}
	t.Run("all is well", func(t *testing.T) {
		agent, p, scrape := begin(t)
		for _, want := range []string{`cofre_verification_window_seconds 604800`, `cofre_rpo_target_seconds{kind="database",`, `cofre_rto_target_seconds 14400`, `cofre_backup_expected_interval_seconds{kind="database",`, `cofre_journal_consistent 1`, `cofre_recovery_points_gone 0`, `cofre_area_known{area="repository"} 1`} {
			if !strings.Contains(scrape, want) {
				t.Errorf("%s is not said:\n%s", want, scrape)
			}
		}
		told, err := os.ReadFile("../../docs/en/monitoring.md")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^[a-z_0-9]+`).FindAllString(scrape, -1) {
			if !strings.Contains(string(told), "`"+m+"`") {
				t.Errorf("%s is said, and docs/en/monitoring.md does not say what it is", m)
			}
		}
		agent.until(t, func() bool { return looked(p.value(t, "count_over_time(cofre_status_known[5m])")) })
		if all := p.firing(t); len(all) > 0 {
			t.Errorf("all is well, and this fires: %v", all)
		}
		// Killed, it is missed. It was all that answered.
		if err := syscall.Kill(agent.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = agent.wait()
		agent.until(t, func() bool { return len(p.firing(t)) > 0 })
		if all := p.firing(t); !slices.Equal(all, []string{"CofreAgentAbsent"}) {
			t.Errorf("the agent was killed, and this fires: %v", all)
		}
	})
	faults := []struct {
		name, fires string
		do, undo    func(t *testing.T)
	}{
		{
			"a backup fails", "CofreBackupFailed config, CofreUploadFailing config",
			func(t *testing.T) {
				i.write(t, "cofre.yaml", strings.Replace(config, "[files]", "[files, nowhere]", 1))
				if out, err := i.command("backup", "config").CombinedOutput(); err == nil {
					t.Fatalf("%s", out)
				}
			},
			func(t *testing.T) { i.write(t, "cofre.yaml", config); i.text(t, "backup", "config") },
		},
		{
			"the objective is missed", "CofreRPOMissed database",
			func(t *testing.T) { i.write(t, "cofre.yaml", strings.Replace(config, "rpo: 25h", "rpo: 1s", 1)) },
			func(t *testing.T) { i.write(t, "cofre.yaml", config) },
		},
		{
			"the journal was changed", "CofreJournalInconsistent",
			func(t *testing.T) { rename(t, i.dir, filepath.Join("repo", "journal", "entry"), "of-before") },
			func(t *testing.T) { rename(t, i.dir, "of-before", filepath.Join("repo", "journal", "entry")) },
		},
		{
			"the repository is away", "CofreRepositoryUnreachable",
			func(t *testing.T) { rename(t, i.dir, "repo", "away") },
			func(t *testing.T) { rename(t, i.dir, "away", "repo") },
		},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			f.do(t)
			defer f.undo(t)
			agent := i.serve(t, "--for", "10m")
			agent.until(t, func() bool { return strings.Contains(agent.log(), "listening") })
			p := startPrometheus(t, regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(agent.log()))
			want := strings.Split(f.fires, ", ")
			agent.until(t, func() bool { return len(p.firing(t)) >= len(want) })
			agent.until(t, func() bool { return looked(p.value(t, "count_over_time(cofre_status_known[5m])")) })
			if all := p.firing(t); !slices.Equal(all, want) {
				t.Errorf("%v is to fire, and this does: %v\n%s", want, all, agent.log())
			}
			i.stop(t, agent)
		})
	}
}

// looked reports whether the rules have been looked at so often that each which is to fire does.
func looked(scrapes string) bool {
	var n int
	_, err := fmt.Sscan(scrapes, &n)
	return err == nil && n >= 8
}

func rename(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}
