module flyball/cluster/pause

go 1.26.0
