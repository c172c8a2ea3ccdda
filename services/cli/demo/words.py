"""The words of the demo's messages, by language; the first language is what people get whose own is not there."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Letter:
    """The words of an email, for the places of letter.mjml."""

    subject: str
    preview: str
    heading: str
    greeting: str
    body: str
    button: str
    closing: str
    link: str
    why: str
    leave: str
    choose: str


SHOP = "https://shop.example"
FOOT = {
    "en": ("You get this because you said that we may write to you.", "No more of these", "Choose what you get"),
    "es": ("Recibes esto porque nos diste permiso para escribirte.", "No quiero recibir más", "Elegir qué recibo"),
    "eu": ("Hau jasotzen duzu idazteko baimena eman zenigulako.", "Ez dut gehiago nahi", "Aukeratu zer jaso"),
    "fr": ("Vous recevez ceci parce que vous nous y avez autorisés.", "Ne plus recevoir", "Choisir ce que je reçois"),
    "de": ("Sie erhalten dies, weil Sie es uns erlaubt haben.", "Nichts mehr davon", "Auswählen, was ich erhalte"),
}


def _letter(language: str, path: str, *words: str) -> Letter:
    subject, preview, heading, greeting, body, button, closing = words
    why, leave, choose = FOOT[language]
    link = f"{SHOP}/{language}/{path}"
    return Letter(subject, preview, heading, greeting, body, button, closing, link, why, leave, choose)


COUPONS = {
    "en": _letter(
        "en",
        "coupons",
        "{{ given_name }}, coupons for the whole family",
        "Three coupons for this week's basket.",
        "Something for every lunch box",
        "Dear {{ given_name }},",
        "you have been here {{ baskets }} times, so we know that "
        "{% if kids_count == 1 %}a child eats{% else %}children eat{% endif %} with you. "
        "Here are three coupons, one of them for {{ favourite_department }}.",
        "Show me the coupons",
        "See you soon, at the corner.",
    ),
    "es": _letter(
        "es",
        "cupones",
        "{{ given_name }}, cupones para toda la familia",
        "Tres cupones para la cesta de esta semana.",
        "Algo para cada almuerzo",
        "Hola, {{ given_name }}:",
        "ya has venido {{ baskets }} veces, así que sabemos que en tu casa "
        "{% if kids_count == 1 %}come un niño{% else %}comen niños{% endif %}. Aquí tienes tres cupones.",
        "Ver los cupones",
        "Hasta pronto, en la esquina.",
    ),
    "eu": _letter(
        "eu",
        "kupoiak",
        "{{ given_name }}, kupoiak familia osoarentzat",
        "Hiru kupoi aste honetako saskirako.",
        "Zerbait hamaiketako bakoitzerako",
        "Kaixo, {{ given_name }}:",
        "{{ baskets }} aldiz etorri zara, eta badakigu etxean "
        "{% if kids_count == 1 %}haur bat duzula{% else %}haurrak dituzula{% endif %}. Hona hiru kupoi.",
        "Ikusi kupoiak",
        "Laster arte, izkinan.",
    ),
}

LETTER = {
    "en": _letter(
        "en",
        "news",
        "What is new at the corner, {{ given_name }}",
        "Bread at seven, and a word of thanks.",
        "A year at the corner",
        "Dear {{ given_name }},",
        "thank you for a year together. From Monday on we bake at seven, and the shelf with {{ favourite_department }} "
        "is twice as long.{% if coupons_redeemed and coupons_redeemed > 0 %} And thank you for using our coupons."
        "{% endif %}",
        "See what is new",
        "Yours, the people at the corner.",
    ),
    "es": _letter(
        "es",
        "novedades",
        "Novedades en la esquina, {{ given_name }}",
        "Pan a las siete, y gracias.",
        "Un año en la esquina",
        "Hola, {{ given_name }}:",
        "gracias por un año juntos. Desde el lunes horneamos a las siete, y hay el doble de sitio para lo que más te "
        "gusta.",
        "Ver las novedades",
        "Un saludo de la gente de la esquina.",
    ),
    "eu": _letter(
        "eu",
        "berriak",
        "Berriak izkinan, {{ given_name }}",
        "Ogia zazpietan, eta eskerrik asko.",
        "Urtebete izkinan",
        "Kaixo, {{ given_name }}:",
        "eskerrik asko elkarrekin emandako urteagatik. Astelehenetik aurrera zazpietan labetik atera berria izango da "
        "ogia.",
        "Ikusi berriak",
        "Agur bero bat izkinako lagunengandik.",
    ),
    "fr": _letter(
        "fr",
        "nouvelles",
        "Du nouveau au coin de la rue, {{ given_name }}",
        "Du pain dès sept heures, et merci.",
        "Une année au coin de la rue",
        "Bonjour {{ given_name }},",
        "merci pour cette année ensemble. Dès lundi, le pain sort du four à sept heures.",
        "Voir les nouveautés",
        "À bientôt, au coin de la rue.",
    ),
    "de": _letter(
        "de",
        "neues",
        "Neues an der Ecke, {{ given_name }}",
        "Brot um sieben, und danke.",
        "Ein Jahr an der Ecke",
        "Guten Tag, {{ given_name }},",
        "danke für ein gemeinsames Jahr. Ab Montag kommt das Brot um sieben aus dem Ofen.",
        "Was es Neues gibt",
        "Bis bald, an der Ecke.",
    ),
}

MISSED = {
    "en": "Dear {{ given_name }}, we have missed you since {{ last_purchase }}. Coffee is on us this week: "
    "https://shop.example/en/coffee Reply STOP to hear no more.",
    "es": "Hola, {{ given_name }}: te echamos de menos. Esta semana te invitamos a un café: "
    "https://shop.example/es/cafe Responde BAJA para no recibir más.",
    "eu": "Kaixo, {{ given_name }}: zure falta sumatzen dugu. Aste honetan kafea gure kontu: "
    "https://shop.example/eu/kafea Erantzun BAJA gehiago ez jasotzeko.",
    "fr": "Bonjour {{ given_name }}, vous nous manquez. Cette semaine, le café est offert: "
    "https://shop.example/fr/cafe Répondez STOP pour ne plus rien recevoir.",
}

ORDER = {
    "en": ("We have your order", "Thank you. Your order is being packed, and you can fetch it from five o'clock on."),
    "es": ("Tenemos tu pedido", "Gracias. Estamos preparando tu pedido; puedes recogerlo a partir de las cinco."),
    "eu": (
        "Zure eskaera jaso dugu",
        "Eskerrik asko. Zure eskaera prestatzen ari gara; bostetatik aurrera har dezakezu.",
    ),
}

BROKEN_JAR = """Good evening,

the jar of honey that I bought on Saturday was broken when I came home; see the photo.
Can I bring it back?

Maren Holt
"""
BROKEN_JAR_TOO = """I forgot to say: I have kept the receipt.

Maren Holt
"""
