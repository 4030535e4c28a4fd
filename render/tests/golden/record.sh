#!/usr/bin/env bash
# Records what helm prints for the charts here: HELM=helm ./record.sh   (helm 4.3.1 is the judge)
set -eu
cd "$(dirname "$0")"
helm=${HELM:-helm}
mkdir -p out
"$helm" version --short > out/VERSION
while IFS='|' read -r name chart args; do
  name=${name// /}; chart=${chart// /}
  case $name in ''|'#'*) continue ;; esac
  # shellcheck disable=SC2086
  if "$helm" template rel "charts/$chart" $args > "out/$name.yaml" 2> "out/$name.err"; then
    rm "out/$name.err"
  else
    rm "out/$name.yaml"
  fi
done < cases.txt
