"""Vocabularies that several generators share."""

from __future__ import annotations

FIRST_NAMES = (
    "Amara Bruno Chidi Dalia Emil Farah Gustav Hana Ivo Jamila Kofi Leila Mateo Nadia Oskar Priya Quentin Rosa Stefan "
    "Talia Umar Vera Wanda Xavier Yusuf Zora Anouk Bela Carmen Dmitri Elin Fabio Greta Hugo Ines Jonas Kamila Luca "
    "Marisol Nils Odette Pavel Renata Soren Tariq Ursula Viktor Willa Yara Zeno"
).split()

LAST_NAMES = (
    "Abara Bergman Castillo Dvorak Eriksen Fontaine Grabowski Haddad Ibarra Jansen Keller Lindqvist Moreau Nakamura "
    "Okafor Petrov Quiroga Rossi Sandoval Tanaka Ueda Varga Whitlock Yilmaz Zeman Adeyemi Bianchi Costa Duarte Falk"
).split()

CITIES = (
    "Lisbon Oslo Quito Perth Nairobi Krakow Busan Montevideo Tromso Valencia Chennai Halifax Tbilisi Porto Leipzig "
    "Dakar Osaka Bergen Cusco Galway Izmir Malmo Tampere Windhoek Zagreb"
).split()

JOBS = (
    "baker|nurse|carpenter|pilot|translator|botanist|plumber|librarian|welder|architect|beekeeper|dentist|florist|"
    "geologist|violinist|postal worker|tailor|chemist|surveyor|firefighter|gardener|tram driver|optician|mason"
).split("|")

GOODS = (
    "lantern|copper kettle|wool blanket|garden rake|desk lamp|bread knife|rain jacket|wicker basket|hiking boots|"
    "chess set|teapot|wall clock|toolbox|hammock|bicycle pump|folding chair|candle holder|paint brush|water filter|"
    "travel mug|sewing kit|bird feeder|yoga mat|camping stove|pencil case|door mat|cutting board|umbrella|backpack|fan"
).split("|")

COLOURS = "red blue green yellow black white orange purple silver brown teal crimson ivory olive amber".split()
