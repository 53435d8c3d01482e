// Nothing is built here: tests apply the CRDs that these modules hold.
module flyball/cluster/crds

go 1.26.4

require (
	github.com/envoyproxy/ai-gateway v1.0.0
	github.com/envoyproxy/gateway v1.8.1
	sigs.k8s.io/gateway-api-inference-extension v1.6.0
)
