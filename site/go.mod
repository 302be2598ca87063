module site

go 1.26.0
