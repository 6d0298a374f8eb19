# Every target is one line into a program: what it does is told there, never here.
# ENV is the environment: dev, ha, vm or metal (stacks/Pulumi.<ENV>.yaml).
ENV ?= dev
export ENV HOST CMD STATE AREA FOCUS BUDGET PROCESSES BENCH

SETUP := components/setup/bootstrap.sh
VERBS := up destroy env kubeconfig hosts ssh power verify check test bench conformance nightly

.DEFAULT_GOAL := up
.PHONY: $(VERBS)
$(VERBS):
	@$(SETUP) $@
