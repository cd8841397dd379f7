site=http://localhost:3500
email="seller-$RANDOM$RANDOM@example.com"
curl --silent --cookie-jar cookies --json '{"email": "'$email'", "password": "correct horse battery"}' $site/api/users/signup
curl --silent --cookie cookies --json '{"title": "Front row", "price": 25}' $site/api/tickets
curl --silent "$site/api/tickets?q=front"
