package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"
)

// api asks the cluster's API server as its administrator.
type api struct {
	base   string
	client *http.Client
}

func newAPI(node netip.Addr, a *authority, id identity) (*api, error) {
	config, err := a.client(id)
	return &api{"https://" + netip.AddrPortFrom(node, 6443).String(), &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 5 * time.Second}}, err
}

// get reads an object, or only asks whether the answer is 200 where object is nil.
func (a *api) get(ctx context.Context, path string, object any) error {
	return ask(ctx, a.client, a.base+path, object)
}

type node struct {
	Spec   struct{ Taints []struct{ Key string } }
	Status struct {
		Addresses  []struct{ Address string }
		Conditions []struct{ Type, Status, Message string }
	}
}

// nodeAddressed is nil once the kubelet has said where the node is.
func (a *api) nodeAddressed(ctx context.Context) error {
	var n node
	if err := a.get(ctx, "/api/v1/nodes/node", &n); err != nil {
		return err
	}
	if len(n.Status.Addresses) == 0 {
		return errors.New("the node has no address yet")
	}
	return nil
}

// nodeReady is nil once the node takes pods: Ready, and no taint of the time before.
func (a *api) nodeReady(ctx context.Context) error {
	var n node
	if err := a.get(ctx, "/api/v1/nodes/node", &n); err != nil {
		return err
	}
	if len(n.Spec.Taints) > 0 {
		return fmt.Errorf("the node has the taint %q", n.Spec.Taints[0].Key)
	}
	for _, condition := range n.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			return nil
		} else if condition.Type == "Ready" {
			return fmt.Errorf("the node is not ready: %s", condition.Message)
		}
	}
	return errors.New("the node has no condition Ready yet")
}

// answers is a ready function: the URL answers 200. Its components listen on loopback only, each with a certificate
// that it made up.
func answers(url string) func(context.Context) error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 5 * time.Second}
	return func(ctx context.Context) error { return ask(ctx, client, url, nil) }
}

func ask(ctx context.Context, client *http.Client, url string, object any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	if object == nil {
		return nil
	}
	return json.Unmarshal(body, object)
}
