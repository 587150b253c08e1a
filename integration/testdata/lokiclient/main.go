// Command lokiclient pushes N lines to the store at URL with grafana/loki-client-go: lokiclient URL TENANT APP N proto|json
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/grafana/loki-client-go/loki"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/common/model"
)

func main() {
	url, tenant, app, encoding := os.Args[1], os.Args[2], os.Args[3], os.Args[5]
	n, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	cfg, err := loki.NewDefaultConfig(url + "/loki/api/v1/push")
	if err != nil {
		log.Fatal(err)
	}
	cfg.TenantID, cfg.EncodeJson, cfg.BatchWait, cfg.BatchSize = tenant, encoding == "json", 100*time.Millisecond, 20_000
	client, err := loki.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	for i := range n {
		labels := model.LabelSet{"app": model.LabelValue(app), "part": model.LabelValue(strconv.Itoa(i % 7))}
		at, line := now.Add(time.Duration(i)*time.Microsecond), fmt.Sprintf("line=%d text=\"it's\\tgröße\"", i)
		if err := client.HandleWithMetadata(labels, at, line, push.LabelsAdapter{{Name: "trace", Value: fmt.Sprint("t", i)}}); err != nil {
			log.Fatal(err)
		}
	}
	client.Stop()
}
